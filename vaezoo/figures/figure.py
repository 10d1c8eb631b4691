"""What `vaezoo figure` writes."""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vaezoo.comparison import Comparison
from vaezoo.errors import UsageError, near
from vaezoo.files import atomic

KINDS = ("rd", "curves", "kl", "reconstructions", "samples", "traversals")
SUFFIXES: dict[str, dict[str, Any]] = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}  # no dates


def figure(comparison: Comparison, kind: str, file: Path) -> Path:
    """Draws a comparison into a file.

    Args:
        comparison: from :func:`vaezoo.comparison.compare`.
        kind: one of ``KINDS``.
        file: its suffix is one of ``SUFFIXES``.

    Raises:
        UsageError: as :func:`check`, or no run has what is to be drawn.
    """
    check(kind, file)
    import matplotlib

    from vaezoo.figures.style import SETTINGS

    with matplotlib.rc_context(SETTINGS), atomic(file) as draft:
        _drawer(kind)(comparison).savefig(draft, metadata=SUFFIXES[file.suffix])
    return file


def check(kind: str, file: Path) -> None:
    """Whether a figure can be drawn at all, before anything is read.

    Raises:
        UsageError: kind or suffix are unknown, or matplotlib is not installed.
    """
    if kind not in KINDS:
        raise UsageError(f"--kind {kind} is unknown{near(kind, KINDS)} (kinds: {', '.join(KINDS)})")
    if file.suffix not in SUFFIXES:
        raise UsageError(f"{file} must end in one of {', '.join(SUFFIXES)}")
    if find_spec("matplotlib") is None:
        raise UsageError('figures need matplotlib: pip install "vaezoo[report]"')


def _drawer(kind: str) -> Callable[[Comparison], Any]:
    if kind in ("reconstructions", "samples", "traversals"):
        draw = import_module("vaezoo.figures.pictures").draw
        return lambda comparison: draw(comparison, kind)
    return import_module(f"vaezoo.figures.{kind}").draw
