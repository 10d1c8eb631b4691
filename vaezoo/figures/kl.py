"""Which latent dimensions carry information: the rate of each, largest first."""

from collections.abc import Sequence
from itertools import zip_longest
from statistics import fmean
from textwrap import fill

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LogNorm
from matplotlib.figure import Figure

from vaezoo.comparison import Comparison, Row
from vaezoo.errors import UsageError
from vaezoo.figures.canvas import TITLE, Canvas
from vaezoo.figures.style import WIDTH
from vaezoo.measured import flat
from vaezoo.tables.sheet import ordered

LEAST = 0.01  # nats; a dimension below carries nothing
LINE, BELOW = 0.21, 0.5  # inches of a row, and of what is below a panel
NAMES, CHARACTERS, BAR = 2.0, 36, 0.8  # inches and characters of the names, and inches of the colour bar
UNUSED = "#e3e3e3"


def draw(comparison: Comparison) -> Figure:
    """A line of cells per row of the comparison, one cell per dimension; mean over seeds of the sorted rates.

    Raises:
        UsageError: no row has a rate per dimension.
    """
    groups = [
        (group, found)
        for group in comparison.groups()
        if (found := [(row, kl) for row in ordered(comparison, group) if (kl := per_dimension(row))])
    ]
    if not groups:
        raise UsageError("no finished run has a rate per dimension")
    norm = LogNorm(LEAST, max(LEAST * 10, *(kl[0] for _, found in groups for _, kl in found)))
    widest = max(len(kl) for _, found in groups for _, kl in found)
    canvas = Canvas(sum(TITLE + LINE * len(found) + BELOW for _, found in groups))
    top = 0.05
    for group, found in groups:
        canvas.write(0.05, top, group.title)
        ax = canvas.axes(NAMES, top + TITLE, WIDTH - NAMES - BAR, LINE * len(found))
        _panel(ax, found, norm, widest)
        top += TITLE + LINE * len(found) + BELOW
    side = canvas.axes(WIDTH - BAR + 0.15, 0.05 + TITLE, 0.12, min(2.0, canvas.height - TITLE - BELOW))
    bar = canvas.figure.colorbar(ScalarMappable(norm, _colours()), cax=side, extend="min")
    bar.set_label("rate (nats); grey: less than 0.01", fontsize=7)
    bar.ax.tick_params(labelsize=7)
    return canvas.figure


def per_dimension(row: Row) -> list[float]:
    """The sorted rates of the dimensions, as the mean over seeds; of a latent with several axes, of all of them."""
    runs = [run.results.get("kl_per_dimension") for run in row.runs if run.state == "finished"]
    each = [sorted(flat(found), reverse=True) for found in runs if found is not None]
    return [fmean(values) for values in zip_longest(*each, fillvalue=0.0)]


def _panel(ax: Axes, found: Sequence[tuple[Row, list[float]]], norm: LogNorm, widest: int) -> None:
    cells = np.full((len(found), widest), np.nan)
    for index, (_, kl) in enumerate(found):
        cells[index, : len(kl)] = kl
    ax.pcolormesh(cells, cmap=_colours(), norm=norm, edgecolors="white", linewidth=0.5)
    ax.invert_yaxis()
    ax.set_yticks(np.arange(len(found)) + 0.5, [fill(row.name, CHARACTERS) for row, _ in found], fontsize=7)
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 1000) if widest / step <= 12 or step == 1000)
    shown = [number for number in range(step, widest + 1, step)]
    ax.set_xticks([number - 0.5 for number in shown], [str(number) for number in shown], fontsize=7)
    ax.set_xlabel("latent dimension, largest rate first", fontsize=8)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _colours() -> Colormap:
    return colormaps["viridis"].with_extremes(under=UNUSED, bad="white")
