"""Names beside points, where they hide neither a point nor each other."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.text import Text
from matplotlib.transforms import Bbox

LOOK: dict[str, Any] = {"fontsize": 6.5, "color": "#333333", "zorder": 5}
AROUND = [(6, 0), (-6, 0), (5, 6), (5, -6), (-5, 6), (-5, -6), (0, 7), (0, -7)]  # points from the point
FURTHER = (1, 2, 3.5, 5)  # times as far, with a line to the point
ROOM = 4  # pixels around a point

LEADER: dict[str, Any] = {"arrowstyle": "-", "lw": 0.5, "color": "#999999", "shrinkA": 0, "shrinkB": 3}


def annotate(
    ax: Axes,
    named: Sequence[tuple[tuple[float, float], str]],
    points: Sequence[tuple[float, float]],
    written: Sequence[Text] = (),
) -> None:
    """Writes each name near its point; one for which there is no room is left out.

    Args:
        ax: with its final limits, of a figure that has been laid out.
        named: point and name.
        points: all points, which no name may cover.
        written: texts that are there already.
    """
    renderer = ax.get_figure(root=True).canvas.get_renderer()  # type: ignore[union-attr]
    inside = ax.get_window_extent(renderer)
    taken = [Bbox.from_bounds(x - ROOM, y - ROOM, 2 * ROOM, 2 * ROOM) for x, y in ax.transData.transform(points)]
    taken += [text.get_window_extent(renderer) for text in written]
    for point, name in named:
        text: Any = ax.annotate(name, point, (0, 0), textcoords="offset points", **LOOK)
        text.set_in_layout(False)
        for times, (dx, dy) in ((times, offset) for times in FURTHER for offset in AROUND):
            text.set_position((times * dx, times * dy))
            text.set_ha("left" if dx > 0 else "right" if dx < 0 else "center")
            text.set_va("bottom" if dy > 0 else "top" if dy < 0 else "center")
            box = text.get_window_extent(renderer)
            if inside.contains(*box.min) and inside.contains(*box.max) and not any(box.overlaps(b) for b in taken):
                taken.append(box)
                if times > 1:
                    ax.annotate("", point, (times * dx, times * dy), textcoords="offset points", arrowprops=LEADER)
                break
        else:
            text.remove()
