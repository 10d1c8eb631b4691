"""How rows look in every figure: the variant's colour, marker and dash, and a shade for each of its rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vaezoo import colours
from vaezoo.comparison import Row, natural

SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.parse_math": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.labelcolor": "#222222",
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "savefig.dpi": 200,
    "pdf.fonttype": 42,  # text stays text
    "svg.fonttype": "none",
    "svg.hashsalt": "vaezoo",  # the same figure gives the same file
}
WIDTH = 7.0  # inches, of a page of text
MARKERS = dict(zip(colours.MARKERS, ("o", "s", "D", "^", "P", "*"), strict=True))
SIZES = {"o": 6, "s": 5.5, "D": 5, "^": 6.5, "P": 6.5, "*": 9}  # points, so that all look equally large
PATTERNS = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (8, 2)), (0, (8, 1, 1, 1)))  # on, off, in widths
DASHES = dict(zip(colours.DASHES, PATTERNS, strict=True))
REACH = 0.45  # of the way to white or black that the outermost shades of a variant go


@dataclass(frozen=True)
class Look:
    """Colour ``#rrggbb``, marker and dash, the latter two as matplotlib names them."""

    colour: str
    marker: str
    dash: Any


def page(height: float, layout: Any = "constrained") -> Figure:
    """An empty figure as wide as a page, and ``height`` inches high, that no window shows."""
    figure = Figure(figsize=(WIDTH, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def looks(rows: Sequence[Row]) -> dict[str, Look]:
    """The look of each row by its key; several rows of a variant go from light to dark."""
    found = {}
    for variant in {row.variant for row in rows}:
        members = sorted((row for row in rows if row.variant == variant), key=lambda row: natural(row.label))
        look = MARKERS[colours.marker(variant)], DASHES[colours.dash(variant)]
        for shade, row in zip(shades(colours.colour(variant), len(members)), members, strict=True):
            found[row.key] = Look(shade, *look)
    return found


def shades(colour: str, n: int) -> list[str]:
    """``n`` shades of a colour from light to dark; the colour itself if there is one."""
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    shares = [REACH * (1 - 2 * i / (n - 1)) for i in range(n)] if n > 1 else [0.0]
    mixed = ([round(c + share * (255 - c) if share > 0 else c * (1 + share)) for c in rgb] for share in shares)
    return ["#{:02x}{:02x}{:02x}".format(*channels) for channels in mixed]
