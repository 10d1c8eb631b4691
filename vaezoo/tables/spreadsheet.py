"""Tables for programs: comma-separated, with every digit."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from vaezoo.comparison import Comparison, Standing
from vaezoo.tables.sheet import ordered

HEAD = ("dataset", "likelihood", "split", "images", "k", "model", "variant", "key", "finished", "runs")


def draw(comparison: Comparison, names: Sequence[str], sort: str | None) -> str:
    """One line per row of the comparison: mean and standard deviation of each metric, and how the row stands by it."""
    ranked = {name for name in names if comparison.metrics[name].better and comparison.metrics[name].comparable}
    columns = [(name, f"{name}_sd", *([f"{name}_standing"] if name in ranked else [])) for name in names]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*HEAD, *(column for triple in columns for column in triple), "flags"])
    for group in comparison.groups():
        words = {name: _words(comparison.better(name, group.rows)) for name in ranked}
        for row in ordered(comparison, group, names, sort):
            fields = [group.dataset, group.likelihood, *group.protocol[:3]]
            fields += [row.label, row.variant, row.key, row.n, len(row.runs)]
            for name in names:
                fields += [row.mean(name), row.sd(name), *([words[name].get(row.key)] if name in ranked else [])]
            writer.writerow([_plain(field) for field in [*fields, "; ".join([*row.flags, *row.faults])]])
    return file.getvalue().rstrip()


def _plain(field: Any) -> Any:
    """A field that no spreadsheet takes for a formula; text that would be one is quoted."""
    if isinstance(field, str):
        return f"'{field}" if field.startswith(("=", "+", "-", "@", "\t", "\r")) else field
    return "" if field is None else field


def _words(standing: Standing | None) -> dict[str, str]:
    """``best``, ``tie`` or ``untested`` by a row's key."""
    if standing is None:
        return {}
    words = {row.key: "tie" for row in standing.ties} | {row.key: "untested" for row in standing.untested}
    return words | {standing.best.key: "best"}
