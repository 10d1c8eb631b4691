"""Finished and unfinished runs as they lie on disk, read without torch."""

import csv
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from vaezoo.errors import UsageError
from vaezoo.files import printable

CONFIG, RECORD, RESULTS, METRICS = "config.yaml", "run.json", "results.json", "metrics.csv"
WEIGHTS, HISTORY = "model.safetensors", "history.json"
JOB, LOCK = "job.json", ".lock"
PATIENCE = 2.0  # seconds: somebody who only looks holds a lock for a moment
STATES = ("queued", "running", "finished", "interrupted", "failed", "pruned", "dead")
FINAL = ("finished", "pruned")  # what is not run again


@dataclass(frozen=True)
class RunRecord:
    """What a run folder holds.

    Args:
        path: the folder.
        state: one of ``STATES``; ``dead`` where a process was killed before it could say how the run ended.
        config: the resolved configuration; empty for a job that has not started.
        record: what run.json holds.
        results: what results.json holds.
        job: what job.json holds, for a job of a sweep.
    """

    path: Path
    state: str
    config: dict[str, Any] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    job: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("config", "record", "results", "job"):  # they end up in tables, on pages and on terminals
            object.__setattr__(self, name, _printable(getattr(self, name)))

    def _choice(self, group: str) -> str:
        return {**self.job.get("choices", {}), **self.config.get("choices", {})}.get(group) or ""

    @property
    def variant(self) -> str:
        """The option of the group `variant`."""
        return self._choice("variant")

    @property
    def dataset(self) -> str:
        """The option of the group `dataset`."""
        return self._choice("dataset")

    @property
    def likelihood(self) -> str:
        """The option of the group `likelihood`."""
        return self._choice("likelihood")

    @property
    def seed(self) -> int:
        """The seed of data order, weights and noise."""
        return int(self.config.get("seed", self.job.get("seed", 0)))

    @property
    def reason(self) -> str | None:
        """Why the run did not finish."""
        return self.record.get("reason") or ("its process was killed" if self.state == "dead" else None)

    @cached_property
    def columns(self) -> dict[str, list[float | None]]:
        """metrics.csv by column; None where a row has no value."""
        file = self.path / METRICS
        if not file.is_file():
            return {}
        text = file.read_text()
        rows = list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines()))
        names = rows[0] if rows else ()
        return {printable(name): [float(row[name]) if row[name] else None for row in rows] for name in names}


def find(*places: str | os.PathLike) -> list[Path]:
    """The run folders at or below some places, sorted.

    Raises:
        UsageError: a place does not exist.
    """
    found: set[Path] = set()
    for place in map(Path, places):
        if not place.is_dir():
            raise UsageError(f"{place} is not a folder")
        for folder, inner, files in os.walk(place):
            if CONFIG in files or JOB in files:
                found.add(Path(folder))
                inner.clear()  # a run holds no other runs
    return sorted(found)


def read(path: str | os.PathLike) -> RunRecord:
    """One run folder; what is missing is empty."""
    path = Path(path)
    record = _json(path / RECORD)
    config = path / CONFIG
    plain = yaml.load(config.read_text(), _Loader) if config.is_file() else {}
    return RunRecord(path, _state(path, record), plain, record, _json(path / RESULTS), _json(path / JOB))


def state(path: str | os.PathLike) -> str:
    """How a run stands: one of ``STATES``."""
    return _state(Path(path), _json(Path(path) / RECORD))


@contextmanager
def hold(path: str | os.PathLike, patience: float = PATIENCE) -> Iterator[None]:
    """Inside, this process alone fills the folder; the lock of a process that dies is free at once.

    Args:
        path: the folder.
        patience: seconds to wait for another process; -1 for as long as it takes.

    Raises:
        UsageError: another process fills it.
    """
    Path(path).mkdir(parents=True, exist_ok=True)
    lock = FileLock(Path(path) / LOCK)
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        raise UsageError(f"{path} is in use by another process, which trains or evaluates it") from None
    except OSError as error:  # a symbolic link, which filelock does not follow, or a folder that cannot be written to
        raise UsageError(f"{Path(path) / LOCK} cannot be used ({error.strerror})") from error
    try:
        yield
    finally:
        if [file.name for file in Path(path).iterdir()] == [LOCK]:  # refused before anything was written
            (Path(path) / LOCK).unlink()
            Path(path).rmdir()
        lock.release()


def held(path: str | os.PathLike) -> bool:
    """Whether a living process fills the folder."""
    if not (Path(path) / LOCK).exists() or (Path(path) / LOCK).is_symlink():
        return False
    lock = FileLock(Path(path) / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def _state(path: Path, record: dict[str, Any]) -> str:
    status = record.get("status", "queued")
    if status in FINAL:
        return status
    if held(path):
        return "running"
    return "dead" if status == "running" else status


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {_printable(key): _printable(inner) for key, inner in value.items()}
    return [_printable(inner) for inner in value] if isinstance(value, list) else value


def _json(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text()) if file.is_file() else {}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The C loader where there is one: ten times faster on thousands of folders."""
