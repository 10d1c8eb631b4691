"""Files that appear whole or not at all."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vaezoo.errors import UsageError

OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Gives a path beside ``path`` to write to, and moves it into place if no error was raised."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    draft.unlink(missing_ok=True)  # it could be somebody's link
    try:
        draft.touch()
        mode = draft.stat().st_mode  # the umask's: some libraries make files that only their owner can read
        yield draft
        draft.chmod(mode)
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


def printable(text: str) -> str:
    """Text in one line, without what a terminal would obey: control characters and marks of writing direction."""
    return OBEYED.sub("\N{REPLACEMENT CHARACTER}", text)


def inside(folder: Path, path: Path) -> bool:
    """Whether a path, with all links followed, lies in a folder."""
    return path.resolve().is_relative_to(folder.resolve())
