"""Pictures as uint8 arrays ``[H, W, 3]``."""

from collections.abc import Sequence
from math import ceil, floor, log10

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

Picture = NDArray[np.uint8]

WIDTH = 400  # pixels that a grid is at least wide
GAP = 2  # pixels between pictures
COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")
SIDE, MARGIN, LEGEND = 640, 48, 64  # pixels of a scatter plot
LONGEST = 24  # characters of a class in its legend


def grid(x: Tensor, columns: int, value_range: tuple[float, float] = (0.0, 1.0)) -> Picture:
    """A table of pictures, enlarged without smoothing until it is about 400 pixels wide.

    Args:
        x: ``[N, C, H, W]`` with C = 1 or 3, row by row.
        columns: pictures in a row.
        value_range: values shown as black and white; others are cut off.
    """
    low, high = value_range
    levels = ((x.detach().float().cpu() - low) / (high - low)).nan_to_num().clamp(0, 1).mul(255).round()
    tiles = levels.byte().permute(0, 2, 3, 1).expand(-1, -1, -1, 3).numpy()  # [N, H, W, 3]
    scale = ceil(WIDTH / (columns * tiles.shape[2]))
    tiles = tiles.repeat(scale, 1).repeat(scale, 2)
    height, width = tiles.shape[1] + GAP, tiles.shape[2] + GAP
    rows = ceil(len(tiles) / columns)
    table = np.full((rows * height + GAP, columns * width + GAP, 3), 255, np.uint8)
    for i, tile in enumerate(tiles):
        top, left = GAP + i // columns * height, GAP + i % columns * width
        table[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return table


def scatter(
    points: Tensor,
    labels: Tensor | None = None,
    axes: Sequence[str] = ("z1", "z2"),
    names: Sequence[str] | None = None,
) -> Picture:
    """A scatter plot, coloured by label, with a legend.

    Args:
        points: ``[N, 2]``.
        labels: class numbers, long ``[N]``; negative ones are drawn in grey.
        axes: names of the two axes.
        names: what the classes are called; None shows their numbers.
    """
    xy = points.detach().double().cpu().numpy()
    low, high = xy.min(0), xy.max(0)
    room = 0.05 * np.maximum(high - low, 1e-6)
    low, high = low - room, high + room
    font = ImageFont.load_default(14)
    legend = max([LEGEND, *(36 + ceil(font.getlength(_called(name))) for name in names or ())])
    image = Image.new("RGB", (SIDE + MARGIN + legend, SIDE + MARGIN), "white")
    draw = ImageDraw.Draw(image)
    share = (xy - low) / (high - low) * SIDE
    pixels = np.stack([MARGIN + share[:, 0], SIDE - share[:, 1]], 1)
    for tick in _ticks(low[0], high[0]):
        x = MARGIN + (tick - low[0]) / (high - low)[0] * SIDE
        draw.line([(x, 0), (x, SIDE)], "#e5e5e5")
        draw.text((x, SIDE + 6), f"{tick:g}", "black", font, anchor="mt")
    for tick in _ticks(low[1], high[1]):
        y = SIDE - (tick - low[1]) / (high - low)[1] * SIDE
        draw.line([(MARGIN, y), (MARGIN + SIDE, y)], "#e5e5e5")
        draw.text((MARGIN - 6, y), f"{tick:g}", "black", font, anchor="rm")
    draw.rectangle([(MARGIN, 0), (MARGIN + SIDE - 1, SIDE - 1)], outline="#888888")
    draw.text((MARGIN + SIDE / 2, SIDE + MARGIN - 4), axes[0], "black", font, anchor="mb")
    draw.text((6, SIDE / 2 - 24), axes[1], "black", font, anchor="lm")
    classes = [-1] * len(xy) if labels is None else labels.tolist()
    for (x, y), label in zip(pixels, classes, strict=True):
        draw.ellipse([(x - 2.5, y - 2.5), (x + 2.5, y + 2.5)], fill=_colour(label))
    for row, label in enumerate(sorted({label for label in classes if label >= 0})):
        y = 16 + 24 * row
        draw.ellipse([(MARGIN + SIDE + 12, y - 5), (MARGIN + SIDE + 22, y + 5)], fill=_colour(label))
        text = _called(names[label]) if names else str(label)
        draw.text((MARGIN + SIDE + 30, y), text, "black", font, anchor="lm")
    return np.asarray(image)


def _called(name: str) -> str:
    """A class's name, cut off where it is long."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 3]}..."


def _colour(label: int) -> str:
    return "#444444" if label < 0 else COLOURS[label % len(COLOURS)]


def _ticks(low: float, high: float) -> list[float]:
    """Four to ten round numbers in [low, high]."""
    step = 10 ** floor(log10((high - low) / 2))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 8)
    return [round(i * step, 10) for i in range(ceil(low / step), floor(high / step) + 1)]
