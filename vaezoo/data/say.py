"""Remarks on the data: what was found in a file or folder, and what was done to it."""

import sys
from threading import Lock

from pytorch_lightning.utilities import rank_zero_only

_said: set[str] = set()
_one_thread = Lock()


@rank_zero_only
def say(line: str) -> None:
    """Prints a line on standard error, once in the life of a process and in the first process only."""
    with _one_thread:
        new = line not in _said
        _said.add(line)
    if new:
        print(line, file=sys.stderr, flush=True)


def listed(names: list[str] | tuple[str, ...], most: int = 10) -> str:
    """The first names, separated by commas, and how many more there are."""
    more = f", ... ({len(names) - most} more)" if len(names) > most else ""
    return ", ".join(names[:most]) + more
