"""Learning curves on held-out data, in nats and without any weights."""

from collections.abc import Sequence
from math import ceil
from statistics import fmean, stdev
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vaezoo.comparison import Comparison, Row
from vaezoo.errors import UsageError
from vaezoo.figures.fence import fence
from vaezoo.figures.style import looks, page
from vaezoo.runs import RunRecord
from vaezoo.tables.sheet import ordered

TERMS = {"bound": "−ELBO (nats)", "distortion": "distortion (nats)", "rate": "rate (nats)"}
HEIGHT = 2.6  # inches of a row of panels
CHARACTERS, HANDLE = 105, 9  # that fit into a line of the legend, and that take what stands before a name
Curve = list[tuple[float, float]]  # images seen, nats


def draw(comparison: Comparison) -> Figure:
    """A row of panels per dataset and likelihood: mean over seeds, with a band of one standard deviation.

    Raises:
        UsageError: no run has measured held-out data.
    """
    groups = []
    for group in comparison.groups():
        curves = {row.key: [found for run in row.runs if (found := held_out(run))] for row in group.rows}
        if rows := [row for row in ordered(comparison, group) if curves[row.key]]:
            groups.append((group, rows, curves))
    if not groups:
        raise UsageError("no run has learning curves in its metrics.csv")
    columns = [_columns(rows) for _, rows, _ in groups]
    legends = [0.17 * ceil(len(rows) / n) + 0.3 for (_, rows, _), n in zip(groups, columns, strict=True)]
    figure = page(HEIGHT * len(groups) + sum(legends))
    parts = figure.subfigures(len(groups), squeeze=False, height_ratios=[HEIGHT + legend for legend in legends])[:, 0]
    for part, n, (group, rows, curves) in zip(parts, columns, groups, strict=True):
        part.suptitle(group.title.partition(":")[0], x=0.01, ha="left", fontsize=9)
        for ax, term in zip(part.subplots(1, len(TERMS), sharex=True), TERMS, strict=True):
            _panel(ax, term, rows, curves)
        drawn = {name: line for ax in part.axes for line, name in zip(*ax.get_legend_handles_labels(), strict=True)}
        names = [row.name for row in rows if row.name in drawn]
        part.legend([drawn[name] for name in names], names, loc="outside lower left", ncols=n)
    return figure


def _columns(rows: Sequence[Row]) -> int:
    return max(1, min(len(rows), CHARACTERS // (max(len(row.name) for row in rows) + HANDLE)))


def held_out(run: RunRecord) -> dict[str, Curve]:
    """Distortion, rate and their sum, the bound, over images seen."""
    columns = run.columns
    if "val/distortion" not in columns:
        return {}
    rates = [values for name, values in columns.items() if name.startswith("val/rate")]
    size = (run.config.get("dataset") or {}).get("batch_size", 1)
    size *= (run.record.get("hardware") or {}).get("processes", 1)
    found: dict[str, Curve] = {term: [] for term in TERMS}
    for step, distortion, *own in zip(columns["step"], columns["val/distortion"], *rates, strict=True):
        if step is None or distortion is None:
            continue
        found["distortion"].append((step * size, distortion))
        if own and None not in own:
            found["rate"].append((step * size, sum(own)))
            found["bound"].append((step * size, distortion + sum(own)))
    return found


def _panel(ax: Axes, term: str, rows: Sequence[Row], curves: dict[str, list[dict[str, Curve]]]) -> None:
    look = looks(rows)
    every = []
    for row in rows:
        by_step: dict[float, list[float]] = {}
        for curve in curves[row.key]:
            for step, value in curve[term]:
                by_step.setdefault(step, []).append(value)
        if not by_step:
            continue
        steps = sorted(by_step)
        means = [fmean(by_step[step]) for step in steps]
        spread = [stdev(by_step[step]) if len(by_step[step]) > 1 else 0.0 for step in steps]
        every += means
        style: dict[str, Any] = {"color": look[row.key].colour, "label": row.name}
        ax.plot(steps, means, ls=look[row.key].dash, lw=1.3, marker="o" if len(steps) == 1 else None, ms=3, **style)
        if any(spread):
            below, above = ([m + sign * s for m, s in zip(means, spread, strict=True)] for sign in (-1, 1))
            ax.fill_between(steps, below, above, color=look[row.key].colour, alpha=0.15, lw=0)
    ax.set(xlabel="images seen", title=TERMS[term])
    if every:
        low, high = fence(every)
        ax.set_ylim(max(ax.get_ylim()[0], low - 0.05 * (high - low)), min(ax.get_ylim()[1], high + 0.05 * (high - low)))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value / 1e6:g}M" if value >= 1e6 else f"{value / 1e3:g}k")
    ax.locator_params(axis="x", nbins=5)
