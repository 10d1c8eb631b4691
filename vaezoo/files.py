"""Files that appear whole or not at all."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vaezoo.errors import UsageError


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Gives a path beside ``path`` to write to, and moves it into place if no error was raised."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def make_folder(key: str, path: str | Path) -> None:
    """Makes the folder that an option names.

    Raises:
        UsageError: it cannot be made, or is a file.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "there is a file in its place" if isinstance(error, FileExistsError) else error.strerror
        raise UsageError(f"{key}={path} must be a folder that can be written: {reason}") from error


def write(path: Path, text: str) -> None:
    """Writes a text file atomically."""
    with atomic(path) as draft:
        draft.write_text(text, encoding="utf-8")


def checksum(path: Path) -> str | None:
    """First 16 hex digits of the SHA-256 of a file; None where there is no file."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()[:16]
