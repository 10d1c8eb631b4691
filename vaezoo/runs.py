"""Finished and unfinished runs as they lie on disk, read without torch."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vaezoo import run_files
from vaezoo.errors import UsageError
from vaezoo.files import printable
from vaezoo.run_files import METRICS, PICTURES, WEIGHTS, Broken, contents
from vaezoo.run_kinds import CONFIG, HISTORY, JOB, RECORD, RESULTS

__all__ = ["CONFIG", "HISTORY", "JOB", "METRICS", "PICTURES", "RECORD", "RESULTS", "WEIGHTS", "Broken", "contents"]
LOCK = ".lock"
PATIENCE = 2.0  # seconds: somebody who only looks holds a lock for a moment
STATES = ("queued", "running", "finished", "interrupted", "failed", "pruned", "dead", "broken")
FINAL = ("finished", "pruned")  # what is not run again


@dataclass(frozen=True)
class RunRecord:
    """What a run folder holds.

    Args:
        path: the folder.
        state: one of ``STATES``; ``dead`` where a process was killed before it could say how the run ended, ``broken``
            where a file cannot be read.
        config: the resolved configuration; empty for a job that has not started.
        record: what run.json holds.
        results: what results.json holds, if it was measured on the weights that run.json names.
        job: what job.json holds, for a job of a sweep.
        columns: metrics.csv by column; None where a row has no value.
        faults: why a file cannot be read, by its name; such a file counts as empty.
        unmeasured: why results are left out; None where they are not.
    """

    path: Path
    state: str
    config: dict[str, Any] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    job: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, list[float | None]] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    unmeasured: str | None = None

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
    def overrides(self) -> list[str]:
        """What its sweep, or the command line, makes of the run."""
        found: list[str] = self.job.get("overrides") or self.config.get("overrides") or []
        return found

    @property
    def reason(self) -> str | None:
        """Why the run did not finish."""
        if self.faults:
            return "; ".join(f"{name}: {why}" for name, why in self.faults.items())
        return self.record.get("reason") or ("its process was killed" if self.state == "dead" else None)


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
            if not {CONFIG, JOB, RECORD}.isdisjoint((*files, *inner)):
                found.add(Path(folder))
                inner.clear()  # a run holds no other runs
    return sorted(found)


def read(path: str | os.PathLike) -> RunRecord:
    """One run folder; what is missing is empty, and what cannot be read is named in ``faults``."""
    path, faults = Path(path), {}

    def tried(name: str, reader: Any = contents) -> Any:
        try:
            return reader(path / name)
        except Broken as error:
            faults[name] = error.why
            return {}

    config, record, results, job = map(tried, (CONFIG, RECORD, RESULTS, JOB))
    metrics = tried(METRICS, run_files.columns)
    tried(WEIGHTS, run_files.check_weights)
    if record.get("status") in FINAL and not (config or CONFIG in faults):
        faults[CONFIG] = "it is missing"
    unmeasured = None
    if None not in (measured := (record.get("weights"), results.get("weights"))) and measured[0] != measured[1]:
        results, unmeasured = {}, "measured on other weights"
    state = _state(path, record, bool(faults))
    return RunRecord(path, state, config, record, results, job, metrics, faults, unmeasured)


def state(path: str | os.PathLike) -> str:
    """How a run stands: one of ``STATES``."""
    return read(path).state


def columns(path: str | os.PathLike) -> dict[str, list[float | None]]:
    """metrics.csv of a run that may still grow, by column; empty where it cannot be read."""
    try:
        return run_files.columns(Path(path) / METRICS)
    except Broken:
        return {}


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
    except OSError:  # somebody else's folder, in which nothing can be locked
        return False
    lock.release()
    return False


def _state(path: Path, record: dict[str, Any], broken: bool) -> str:
    status = record.get("status", "queued")
    if status in FINAL and not broken:
        return status
    if held(path):
        return "running"
    return "broken" if broken else "dead" if status == "running" else status


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {_printable(key): _printable(inner) for key, inner in value.items()}
    return [_printable(inner) for inner in value] if isinstance(value, list) else value
