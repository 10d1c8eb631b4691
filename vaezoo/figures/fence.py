"""The range of a picture that a few extreme values shall not squeeze."""

from collections.abc import Sequence
from statistics import quantiles

FAR = 3.0  # interquartile ranges: Tukey's "far out"


def fence(values: Sequence[float]) -> tuple[float, float]:
    """Smallest and largest value that are not far out."""
    if len(values) < 4:
        return min(values), max(values)
    first, _, third = quantiles(values, n=4)
    reach = FAR * (third - first)
    near = [value for value in values if first - reach <= value <= third + reach]
    return min(near), max(near)
