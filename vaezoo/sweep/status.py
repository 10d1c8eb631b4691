"""How a sweep on disk stands, told without torch."""

import os
from collections import Counter
from pathlib import Path

from vaezoo import runs
from vaezoo.errors import UsageError
from vaezoo.files import printable

UNFINISHED = ("queued", "interrupted", "failed", "dead", "broken")  # what `vaezoo sweep retry` runs again


def status(place: str | os.PathLike) -> str:
    """A count per state, and a line with the reason per job that is not finished.

    Raises:
        UsageError: there is no such folder, or no run in it.
    """
    found = [runs.read(folder) for folder in runs.find(place)]
    if not found:
        raise UsageError(f"{place} holds no runs")
    counts = Counter(run.state for run in found)
    lines = [f"{len(found)} jobs in {place}: " + ", ".join(f"{counts[s]} {s}" for s in runs.STATES if counts[s])]
    wide = max(len(state) for state in runs.STATES)
    for run in found:
        if run.state not in runs.FINAL:
            lines.append(printable(f"  {run.state:<{wide}} {run.path}{_why(run)}"))
    if any(counts[state] for state in UNFINISHED):
        lines.append(f"run them again: vaezoo sweep retry {place}")
    return "\n".join(lines)


def unfinished(place: str | os.PathLike) -> list[runs.RunRecord]:
    """The jobs of a sweep that `vaezoo sweep retry` runs again.

    Raises:
        UsageError: neither job.json nor config.yaml of one says what it was to be.
    """
    found = [run for run in map(runs.read, runs.find(place)) if run.state in UNFINISHED]
    jobs = [run for run in found if run.job or runs.JOB in run.faults]
    for run in jobs:
        if not (run.job or run.config):
            raise UsageError(f"{run.path} cannot run again ({run.reason}): start its sweep again")
    return jobs


def failures(place: Path, since: float) -> list[str]:
    """One line for each job that has failed after a moment: its folder and the last line of its traceback."""
    lines = []
    for folder in runs.find(place) if place.is_dir() else ():
        record = folder / runs.RECORD
        if record.is_file() and record.stat().st_mtime >= since and (run := runs.read(folder)).state == "failed":
            lines.append(printable(f"failed: {folder}{_why(run)}"))
    return lines


def _why(run: runs.RunRecord) -> str:
    return f": {run.reason}" if run.reason else ""
