"""The colour, marker and dash of each variant, the same in every picture and on every page.

The eight colours were searched in OKLab for the largest smallest distance under normal, protan and deutan vision, with
a contrast of at least 3 : 1 on white and on a dark page. Variants that share one differ in marker and dash.
"""

import zlib
from functools import cache

from vaezoo import registry

COLOURS = ("#008050", "#e85890", "#2860d0", "#9078f8", "#c08800", "#904890", "#18a0c0", "#c84000")
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "star")  # names that Plotly uses
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SALT = 248884  # spreads the built-in names evenly, and apart those that are compared most


def colour(variant: str) -> str:
    """The colour of a variant as ``#rrggbb``; it depends on the name only.

    Args:
        variant: a built-in name, a plugin's, or any other.
    """
    return COLOURS[_hash(variant) % len(COLOURS)]


def marker(variant: str) -> str:
    """The marker of a variant, one of ``MARKERS``; no two built-in variants share colour and marker."""
    return MARKERS[_place(variant)]


def dash(variant: str) -> str:
    """The dash of a variant's lines, one of ``DASHES``; no two built-in variants share colour and dash."""
    return DASHES[_place(variant)]


def _place(variant: str) -> int:
    """How many built-in names of the same colour come first; a plugin's name decides for itself."""
    return _places().get(variant, _hash(variant) // len(COLOURS) % len(MARKERS))


@cache
def _places() -> dict[str, int]:
    found: dict[str, int] = {}
    seen: dict[str, int] = {}
    for name, entry in sorted(registry.entries("variant").items()):
        if entry.distribution == "vaezoo":
            found[name] = seen.setdefault(colour(name), 0) % len(MARKERS)
            seen[colour(name)] += 1
    return found


def _hash(text: str) -> int:
    return zlib.crc32(f"{SALT}{text}".encode())
