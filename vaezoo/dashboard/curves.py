"""Learning curves, thinned until all of them fit a page."""

from collections.abc import Iterable, Sequence
from typing import Any

from vaezoo.runs import RunRecord

MOST, LEAST = 200, 16  # points of one curve
NUMBERS = 600_000  # points of all curves: about 4 MB


def points(runs: Sequence[RunRecord]) -> int:
    """How many points a curve may have, so that all curves of all runs fit."""
    columns = sum(len(run.columns) for run in runs)
    return max(LEAST, min(MOST, NUMBERS // max(columns, 1)))


def curves(run: RunRecord, most: int, terms: dict[str, int]) -> dict[str, Any]:
    """The columns of metrics.csv over the training step.

    Args:
        run: any run.
        most: points that a curve has at most; the first and the last always stay.
        terms: numbers of the terms' names, which grow here.

    Returns:
        dict: ``x``, lists of steps, and ``y``, for the number of a term ``[index into x, values]``.
    """
    steps = run.columns.get("step", [])
    axes: dict[tuple[float, ...], int] = {}
    found: dict[int, list[Any]] = {}
    for name, column in run.columns.items():
        if name in ("step", "epoch"):
            continue
        known = [(step, value) for step, value in zip(steps, column, strict=True) if None not in (step, value)]
        if not known:
            continue
        x, y = zip(*thinned(known, most), strict=True)
        found[terms.setdefault(name, len(terms))] = [axes.setdefault(x, len(axes)), short(y)]
    return {"x": [short(axis) for axis in axes], "y": found}


def thinned(rows: Sequence[Any], most: int) -> list[Any]:
    """Evenly spaced rows, with the first and the last."""
    if len(rows) <= most:
        return list(rows)
    return [rows[round(k * (len(rows) - 1) / (most - 1))] for k in range(most)]


def short(numbers: Iterable[float | None]) -> list[float | None]:
    """Numbers to 5 significant digits; what is not finite, which JSON cannot say, is None."""
    return [rounded(number) for number in numbers]


def rounded(number: float | None) -> float | int | None:
    """One number to 5 significant digits; a whole one stays whole."""
    if number is None or number != number or number in (float("inf"), float("-inf")):
        return None
    if number == int(number) and abs(number) < 1e15:
        return int(number)
    return float(f"{number:.5g}")
