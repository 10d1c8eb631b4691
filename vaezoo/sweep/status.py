"""How a sweep on disk stands, told without torch."""

import os
from collections import Counter
from pathlib import Path

from vaezoo import runs
from vaezoo.errors import UsageError
from vaezoo.files import printable
from vaezoo.sweep.job import reason

UNFINISHED = ("queued", "interrupted", "failed", "dead")  # what `vaezoo sweep retry` runs again


def status(place: str | os.PathLike) -> str:
    """A count per state, and a line with the reason per job that is not finished.

    Raises:
        UsageError: there is no such folder, or no run in it.
    """
    states = {folder: runs.state(folder) for folder in runs.find(place)}
    if not states:
        raise UsageError(f"{place} holds no runs")
    counts = Counter(states.values())
    lines = [f"{len(states)} jobs in {place}: " + ", ".join(f"{counts[s]} {s}" for s in runs.STATES if counts[s])]
    wide = max(len(state) for state in runs.STATES)
    for folder, state in states.items():
        if state not in runs.FINAL:
            lines.append(printable(f"  {state:<{wide}} {folder}{_why(folder, state)}"))
    if any(counts[state] for state in UNFINISHED):
        lines.append(f"run them again: vaezoo sweep retry {place}")
    return "\n".join(lines)


def failures(place: Path, since: float) -> list[str]:
    """One line for each job that has failed after a moment: its folder and the last line of its traceback."""
    lines = []
    for folder in runs.find(place) if place.is_dir() else ():
        record = folder / runs.RECORD
        if record.is_file() and record.stat().st_mtime >= since and runs.state(folder) == "failed":
            lines.append(printable(f"failed: {folder}{_why(folder, 'failed')}"))
    return lines


def _why(folder: Path, state: str) -> str:
    why = reason(folder) or ("its process was killed" if state == "dead" else None)
    return f": {why}" if why else ""
