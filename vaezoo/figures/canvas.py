"""A figure whose parts are placed in inches from the top left, for pictures that must keep their size."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vaezoo.figures.style import WIDTH, page

TITLE = 0.28  # inches of a line with a title


class Canvas:
    """An empty figure as wide as a page.

    Args:
        height: inches.
    """

    def __init__(self, height: float) -> None:
        self.figure: Figure = page(height, layout=None)
        self.height = height

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Axes whose upper left corner is there; all in inches."""
        return self.figure.add_axes(
            (left / WIDTH, 1 - (top + height) / self.height, width / WIDTH, height / self.height)
        )

    def write(self, left: float, top: float, text: str, ha: str = "left", va: str = "top", size: float = 9) -> None:
        """Text at a place in inches."""
        self.figure.text(left / WIDTH, 1 - top / self.height, text, ha=ha, va=va, fontsize=size)
