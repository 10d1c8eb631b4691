"""The table of one group: what stands in each field, before it is drawn."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vaezoo.comparison import SEEDS, Comparison, Group, Row, Standing
from vaezoo.measured import Metric

TIE = "≈"
LEGEND = {
    "best": "{bold}: the best mean of its table.",
    "sd": "±: standard deviation over seeds.",
    "tie": f"{TIE}: not significantly different from the best (paired t-test over shared seeds, 5 %).",
    "untested": f"Rows with fewer than {SEEDS} seeds in common with the best are not tested.",
}
RANKED = ("nll", "elbo", "squared_error")  # what rows are ordered by unless a table says otherwise
DIGITS = ((10_000, 0), (1_000, 1), (1, 2), (0, 4))  # after the point, for columns whose largest value is at least this


@dataclass
class Cell:
    """What stands in one field.

    Args:
        value: the mean, formatted; empty where there is none.
        sd: the standard deviation over seeds, formatted, or empty.
        best: whether the mean is the best of the group.
        tie: whether it is not significantly worse.
        note: number of a footnote, or None.
    """

    value: str
    sd: str = ""
    best: bool = False
    tie: bool = False
    note: int | None = None


@dataclass
class Sheet:
    """The table of one group.

    Args:
        title: dataset, likelihood, split, number of images and K.
        columns: the metrics.
        rows: label, notes of the label, seeds, and one cell per column.
        footnotes: numbered from 1.
        legend: what the marks mean that the table uses.
    """

    title: str
    columns: list[Metric]
    rows: list[tuple[str, list[int], str, list[Cell]]]
    footnotes: list[str]
    legend: list[str]  # {bold} stands for how a format marks the best


def sheet(comparison: Comparison, group: Group, names: Sequence[str], sort: str | None = None) -> Sheet:
    """The table of one group.

    Args:
        comparison: all rows.
        group: one of ``comparison.groups()``.
        names: metrics; those that no row of the group has are left out.
        sort: the metric by which rows are sorted; by default the first of ``names`` with a good end.
    """
    names = [name for name in names if any(row.mean(name) is not None for row in group.rows)]
    columns = {name: _Column(comparison, name, group.rows) for name in names}
    notes: dict[str, int] = {}
    rows = []
    for row in ordered(comparison, group, names, sort):
        marks = [notes.setdefault(text, len(notes) + 1) for text in (*row.flags, *row.faults)]
        cells = [_cell(row, name, columns[name], notes) for name in names]
        seeds = str(row.n) if not row.failed else f"{row.n} of {len(row.runs)}"
        rows.append((row.name, marks, seeds, cells))
    every = [cell for *_, cells in rows for cell in cells]
    used = {
        "best": any(cell.best for cell in every),
        "sd": any(cell.sd for cell in every),
        "tie": any(cell.tie for cell in every),
        "untested": any(column.standing.untested for column in columns.values() if column.standing),
    }
    metrics = [comparison.metrics[name] for name in names]
    return Sheet(group.title, metrics, rows, list(notes), [LEGEND[key] for key, is_used in used.items() if is_used])


def ordered(comparison: Comparison, group: Group, names: Sequence[str] = RANKED, sort: str | None = None) -> list[Row]:
    """The rows of a group, the best on top, those not to be trusted below, and those without a value at the end.

    Args:
        comparison: all rows.
        group: one of ``comparison.groups()``.
        names: metrics, of which the first with a good end decides.
        sort: the metric that decides instead.
    """
    known = comparison.metrics
    by = sort or next((name for name in names if name in known and known[name].better), None)
    if by is None:
        return list(group.rows)
    sign = -1 if known[by].better == "higher" else 1
    means = {row.key: row.mean(by) for row in group.rows}
    return sorted(
        group.rows, key=lambda row: ((mean := means[row.key]) is None, by in row.reasons, sign * (mean or 0.0))
    )


class _Column:
    """How the numbers of one metric are written, and who is the best of at least two rows."""

    def __init__(self, comparison: Comparison, name: str, rows: Sequence[Row]) -> None:
        values = [value for row in rows for value in row.values.get(name, ()) if value is not None]
        self.digits = next(digits for least, digits in DIGITS if max(map(abs, values)) >= least)
        self.whole = all(value.is_integer() for value in values)
        rivals = [row for row in rows if row.mean(name) is not None]
        self.standing: Standing | None = comparison.better(name, rivals) if len(rivals) > 1 else None
        self.ties = {row.key for row in self.standing.ties} if self.standing else set()

    def write(self, value: float) -> str:
        """A number, with as many digits as the others."""
        return f"{value:,.0f}" if self.whole and value.is_integer() else f"{value:,.{self.digits}f}"


def _cell(row: Row, name: str, column: _Column, notes: dict[str, int]) -> Cell:
    mean, sd, why = row.mean(name), row.sd(name), _why(row, name)
    note = notes.setdefault(why, len(notes) + 1) if why and why not in row.flags else None
    if mean is None:
        return Cell("", note=note)
    spread = "" if sd is None or (column.whole and sd == 0) else column.write(sd)
    best = column.standing is not None and row is column.standing.best
    return Cell(column.write(mean), spread, best, row.key in column.ties, note)


def _why(row: Row, name: str) -> str:
    """Why a row has no such value, or none to be trusted; nothing for a row that did not finish."""
    if row.n == 0:
        return ""
    _, _, sampler = name.partition(":")
    if not sampler or row.mean(name) is not None:
        return row.reasons.get(name) or _some(row, name)
    why = row.reasons.get(f"quality.{sampler}") or row.reasons.get("quality") or "samples were not judged"
    return re.sub(r"^sampler=\w+: \w+ has", "it has", why)  # the same footnote for every class


def _some(row: Row, name: str) -> str:
    """Which finished runs lack a metric; nothing where they lack all, which a flag of the row says."""
    evaluated = [run for run in row.runs if run.state == "finished" and run.results]
    return row.partly.get(name, "") if len(row.measured(name)) < len(evaluated) else ""


def title(metric: Metric) -> str:
    """The head of a column."""
    return metric.label + {"lower": " ↓", "higher": " ↑"}.get(metric.better or "", "")
