"""The rate-distortion plane: where each configuration lies, and lines on which the ELBO is the same."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from vaezoo import colours, configurations
from vaezoo.comparison import Comparison, Group, Row
from vaezoo.errors import UsageError
from vaezoo.figures.fence import fence
from vaezoo.figures.labels import annotate
from vaezoo.figures.style import MARKERS, SIZES, looks, page
from vaezoo.tables.sheet import ordered

HEIGHT = 4.4  # inches of one plane
LINES = 8  # of equal ELBO, about
PER_COLUMN = 22  # entries of the legend
BAR = 8  # points that stand for half a bar
PADDING = 0.07  # of the range, around the points
Point = tuple[float, float]


def draw(comparison: Comparison) -> Figure:
    """One plane per dataset and likelihood; nats of others cannot be compared.

    Raises:
        UsageError: no row has a rate.
    """
    groups = [(group, rows) for group in comparison.groups() if (rows := _placed(comparison, group))]
    if not groups:
        raise UsageError("no finished run has a rate and a distortion")
    figure = page(HEIGHT * len(groups))
    parts = figure.subfigures(len(groups), squeeze=False)[:, 0]
    named = [_plane(part.subplots(), group, rows) for part, (group, rows) in zip(parts, groups, strict=True)]
    figure.draw_without_rendering()  # now every point has its place
    for arguments in named:
        annotate(*arguments)
    return figure


def _placed(comparison: Comparison, group: Group) -> list[Row]:
    rows = ordered(comparison, group)
    return [row for row in rows if row.mean("rate") is not None and row.mean("distortion") is not None]


def _plane(ax: Axes, group: Group, rows: Sequence[Row]) -> tuple[Any, ...]:
    """Draws a plane, and gives what :func:`annotate` takes."""
    look = looks(rows)
    points = {row.key: (row.mean("rate") or 0.0, row.mean("distortion") or 0.0) for row in rows}
    ax.set(xlabel="rate (nats)", ylabel="distortion (nats)", title=group.title)
    far = _limit(ax, rows, points)
    for row in rows:
        colour, marker = look[row.key].colour, look[row.key].marker
        ax.errorbar(*points[row.key], row.sd("distortion"), row.sd("rate"), color=colour, lw=0.8, zorder=3)
        ax.plot(*points[row.key], color=colour, marker=marker, ms=SIZES[marker], mec="white", mew=0.6, zorder=4)
    names = []
    for variant in dict.fromkeys(row.variant for row in rows):
        members = [row for row in rows if row.variant == variant]
        if path := _path(members):
            xy = zip(*(points[row.key] for row in path), strict=True)
            ax.plot(*xy, color=colours.colour(variant), lw=0.8, alpha=0.6, zorder=2)
        tails = [(points[row.key], row.name.removeprefix(variant).strip()) for row in members if row not in far]
        names += tails if len(members) > 1 else []
    _legend(ax, [row.variant for row in rows])
    if far:
        listed = ", ".join(f"{row.name} ({points[row.key][0]:.0f}, {points[row.key][1]:.0f})" for row in far)
        ax.figure.supxlabel(f"Not shown (rate, distortion): {listed}", x=0.01, ha="left", fontsize=7, wrap=True)
    return ax, names, [point for row in rows for point in _cross(row)], _equal_elbo(ax)


def _limit(ax: Axes, rows: Sequence[Row], points: dict[str, Point]) -> list[Row]:
    """Sets the limits; the rows that lie far outside."""
    ranges = [fence([points[row.key][axis] for row in rows]) for axis in (0, 1)]
    padded = []
    for low, high in ranges:
        padding = PADDING * (high - low) or 0.05 * abs(high) or 1.0
        padded.append((low - padding, high + padding))
    ax.set(xlim=padded[0], ylim=padded[1])
    inside = [(low <= points[row.key][axis] <= high) for row in rows for axis, (low, high) in enumerate(ranges)]
    return [row for row, x, y in zip(rows, inside[::2], inside[1::2], strict=True) if not (x and y)]


def _cross(row: Row) -> list[Point]:
    """Points along the bars of a row, and the row's own."""
    x, y = row.mean("rate") or 0.0, row.mean("distortion") or 0.0
    across, along = row.sd("rate") or 0.0, row.sd("distortion") or 0.0
    steps = [step / BAR for step in range(-BAR, BAR + 1)]
    return [(x + step * across, y) for step in steps] + [(x, y + step * along) for step in steps]


def _path(rows: Sequence[Row]) -> list[Row]:
    """Rows of a variant in the order of the one number in which they differ; none if they differ otherwise."""
    varied = configurations.differences([row.settings for row in rows])
    (values,) = varied.values() if len(varied) == 1 else ([None],)
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return []
    return [row for _, row in sorted(zip(values, rows, strict=True), key=lambda pair: pair[0])]


def _legend(ax: Axes, variants: Sequence[str]) -> None:
    handles = []
    for variant in dict.fromkeys(variants):
        marker = MARKERS[colours.marker(variant)]
        style: dict[str, Any] = {"marker": marker, "ms": SIZES[marker], "color": colours.colour(variant)}
        handles.append(Line2D([], [], ls="none", label=variant, **style))
    columns = 1 + (len(handles) - 1) // PER_COLUMN
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0}
    ax.legend(handles=handles, ncols=columns, handletextpad=0.3, **place)


def _equal_elbo(ax: Axes) -> list[Text]:
    """Lines of rate + distortion = c, and their names, which stand along them at the right."""
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    written = []
    for total in MaxNLocator(LINES, steps=[1, 2, 5, 10]).tick_values(left + low, right + high):
        start, end = max(left, total - high), min(right, total - low)
        if end - start < 0.12 * (right - left):
            continue
        ax.plot([start, end], [total - start, total - end], color="#d4d4d4", lw=0.7, zorder=0)
        name = f"ELBO {-total:g}".replace("-", "−")
        style: dict[str, Any] = {"ha": "right", "va": "bottom", "fontsize": 6.5, "color": "#8a8a8a", "zorder": 1}
        angle: dict[str, Any] = {"rotation": -45, "rotation_mode": "anchor", "transform_rotates_text": True}
        written.append(ax.text(end, total - end, f"{name} ", **style, **angle))
    ax.set(xlim=(left, right), ylim=(low, high))
    return written
