"""What the models draw, side by side."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from vaezoo import configurations
from vaezoo.comparison import Comparison, Group, Row
from vaezoo.errors import UsageError
from vaezoo.figures.canvas import TITLE, Canvas
from vaezoo.figures.style import WIDTH
from vaezoo.files import inside
from vaezoo.run_files import PICTURES, Broken, picture
from vaezoo.runs import RunRecord
from vaezoo.tables.sheet import ordered

GAP = 2  # pixels between the tiles that vaezoo.callbacks.draw lays out
COLUMNS = 10  # reconstructions of a run
ACROSS, LETTERS = 3, 38  # samples or traversals beside each other, and characters above each
NAMES, CHARACTERS = 2.0, 30  # inches and characters of the names beside reconstructions
EDGE, SPACE = 0.05, 0.15  # inches around the page and between pictures
Picture = NDArray[np.uint8]


@dataclass
class Shown:
    """A row, one of its runs, that run's picture ``[H, W, 3]``, and what stands beside it."""

    row: Row
    run: RunRecord
    picture: Picture
    name: str = ""


def draw(comparison: Comparison, kind: str) -> Figure:
    """The pictures of each row, those of its first seed that has one.

    Args:
        comparison: any comparison.
        kind: ``reconstructions``, of the same inputs below each other, ``samples`` or ``traversals``.

    Raises:
        UsageError: no run has such a picture.
    """
    found: dict[str, list[Shown]] = {}
    for group in comparison.groups():
        if shown := _found(comparison, group, kind):
            found.setdefault(group.dataset, []).extend(shown)  # pictures of different likelihoods are comparable
    if not found:
        raise UsageError(f"no run has pictures/{kind}.png")
    groups = list(found.items())
    for _, shown in groups:
        _name(shown)
    return _strips(groups) if kind == "reconstructions" else _mosaic(groups)


def _found(comparison: Comparison, group: Group, kind: str) -> list[Shown]:
    """The pictures of a group, the best row first."""
    found = []
    for row in ordered(comparison, group):
        pictures = ((run, pictured(run, kind)) for run in row.runs)
        if first := next(((run, picture) for run, picture in pictures if picture), None):
            found.append(Shown(row, first[0], np.asarray(first[1])))
    return found


def _name(shown: Sequence[Shown]) -> None:
    """Names rows of one dataset, with their likelihoods where there are several."""
    several = len({one.run.likelihood for one in shown}) > 1
    for one, label in zip(shown, configurations.labels([one.row.settings for one in shown]), strict=True):
        said = not several or "likelihood=" in label
        one.name = label if said else f"{label} ({one.run.likelihood})"


def pictured(run: RunRecord, kind: str) -> Image.Image | None:
    """A picture of a run; None where there is none, and a warning where it cannot be read."""
    file = run.path / PICTURES / f"{kind}.png"
    try:
        return picture(file) if file.exists() and inside(run.path, file) else None
    except Broken as error:
        print(f"warning: {error}; it is left out", file=sys.stderr)
        return None


def _show(ax: Axes, picture: Picture) -> None:
    ax.imshow(picture, interpolation="nearest", aspect="auto")
    ax.set_axis_off()


# -- samples and traversals --------------------------------------------------------------------------------------------


def _mosaic(groups: Sequence[tuple[str, list[Shown]]]) -> Figure:
    """Whole pictures beside each other, each under its name."""
    width = (WIDTH - 2 * EDGE - (ACROSS - 1) * SPACE) / ACROSS
    lines = [[found[i : i + ACROSS] for i in range(0, len(found), ACROSS)] for _, found in groups]
    heights = [[max(width * _shape(shown.picture) for shown in line) for line in group] for group in lines]
    above = [[_above(line) for line in group] for group in lines]
    tall = [TITLE + sum(h) + sum(a) + SPACE * len(h) for h, a in zip(heights, above, strict=True)]
    canvas = Canvas(sum(tall) + EDGE)
    top = EDGE
    for (dataset, _), *lined in zip(groups, lines, heights, above, strict=True):
        canvas.write(EDGE, top, dataset)
        top += TITLE
        for line, height, names in zip(*lined, strict=True):
            for place, shown in enumerate(line):
                left = EDGE + place * (width + SPACE)
                canvas.write(left, top + names - 0.05, fill(shown.name, LETTERS), va="bottom", size=8)
                _show(canvas.axes(left, top + names, width, width * _shape(shown.picture)), shown.picture)
            top += names + height + SPACE
    return canvas.figure


def _above(line: Sequence[Shown]) -> float:
    """Inches that the names above a line of pictures take."""
    return 0.08 + 0.14 * max(fill(shown.name, LETTERS).count("\n") + 1 for shown in line)


def _shape(picture: Picture) -> float:
    return picture.shape[0] / picture.shape[1]


# -- reconstructions ---------------------------------------------------------------------------------------------------


def _strips(groups: Sequence[tuple[str, list[Shown]]]) -> Figure:
    """Lines below each other: inputs, then what each row makes of them; other inputs begin a new block."""
    blocks = [(dataset, *block) for dataset, found in groups for block in _blocks(found)]
    width = WIDTH - NAMES - EDGE
    heights = [width * _shape(inputs) for _, inputs, _ in blocks]
    lines = [1 + len(outputs) for *_, outputs in blocks]
    canvas = Canvas(sum(TITLE + h * n + SPACE for h, n in zip(heights, lines, strict=True)) + EDGE)
    top = EDGE
    for (dataset, inputs, outputs), height in zip(blocks, heights, strict=True):
        canvas.write(EDGE, top, dataset)
        top += TITLE
        for name, strip in [("data", inputs), *outputs]:
            canvas.write(NAMES - 0.08, top + height / 2, fill(name, CHARACTERS), ha="right", va="center", size=7.5)
            _show(canvas.axes(NAMES, top, width, height), strip)
            top += height
        top += SPACE
    return canvas.figure


def _blocks(found: Sequence[Shown]) -> list[tuple[Picture, list[tuple[str, Picture]]]]:
    """Inputs, and names and outputs of the rows that have these inputs."""
    blocks: list[tuple[Picture, list[tuple[str, Picture]]]] = []
    for shown in found:
        inputs, outputs = _pair(shown)
        same = next((names for other, names in blocks if np.array_equal(other, inputs)), None)
        if same is None:
            blocks.append((inputs, same := []))
        same.append((shown.name, outputs))
    return blocks


def _pair(shown: Shown) -> tuple[Picture, Picture]:
    """The first line of inputs, and that of their reconstructions below it."""
    *_, height, width = (shown.run.record.get("shapes") or {}).get("event") or (1, 1)
    columns = min(COLUMNS, round(shown.picture.shape[1] / max(1, width)))
    tile = (shown.picture.shape[1] - GAP) // columns - GAP
    line = tile * height // width + GAP
    return shown.picture[: line + GAP], shown.picture[line : 2 * line + GAP]
