"""What the shape, type and values of arrays say: where the channels are, and where x lives."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vaezoo.data.mapped import Mapped, arrange, chunks
from vaezoo.errors import UsageError, near

CHANNELS = ("first", "last")
SHAPES = "[N, D], [N, H, W], [N, C, H, W] or [N, H, W, C], N >= 1"
LARGEST = float(np.finfo(np.float32).max)


class Values(NamedTuple):
    """What the values of an array are.

    Args:
        low: the smallest.
        high: the largest.
        binary: whether all are 0 or 1.
    """

    low: float
    high: float
    binary: bool


def examples(arrays: Mapping[str, np.ndarray], channels: str | None = None) -> tuple[list[Tensor | Mapped], str]:
    """The arrays of all splits as they are stored in a dataset, and their support.

    Args:
        arrays: ``[N, D]``, ``[N, H, W]``, ``[N, C, H, W]`` or ``[N, H, W, C]``, or signals ``[N, C, T]`` or
            ``[N, T, C]`` with ``channels``; uint8, bool or float. Memory maps stay on disk.
        channels: ``first`` or ``last``, the axis of the channels; None where the shape says it.

    Returns:
        uint8 or float32 ``[N, *event]``, and ``binary``, ``levels``, ``unit`` or ``real``.

    Raises:
        UsageError: a type, shape or value is not allowed, or the splits are on different scales.
    """
    if channels not in (None, *CHANNELS):
        raise UsageError(f"dataset.channels={channels}: must be first, last or null{near(channels, CHANNELS)}")
    for name, array in arrays.items():
        _check_type(name, array)
    axes = {name: _axes(name, array.shape, channels) for name, array in arrays.items()}
    values = {name: scan(name, array) for name, array in arrays.items()}
    support = _support(arrays, values, channels)
    binary = support == "binary"
    found: list[Tensor | Mapped] = []
    for name, array in arrays.items():
        if isinstance(array, np.memmap):
            bounds = values[name].low, values[name].high  # of use for real values only
            found.append(Mapped(array, axes[name], binary, bounds))
        else:
            found.append(torch.from_numpy(arrange(array, axes[name], binary)))
    return found, support


def scan(name: str, array: np.ndarray) -> Values:
    """Smallest and largest value and whether all are 0 or 1, in one pass over pieces of the array.

    Raises:
        UsageError: a value is not finite in float32.
    """
    low, high, binary = np.inf, -np.inf, True
    for start, piece in chunks(array):
        least, most = float(piece.min()), float(piece.max())
        if not (least >= -LARGEST and most <= LARGEST):  # NaN too
            wrong = ~(np.abs(piece.astype(np.float64)) <= LARGEST)
            first = np.argwhere(wrong)[0]
            value, where = piece[tuple(first)], (start + int(first[0]), *map(int, first[1:]))
            raise UsageError(f"array {name} holds {value} at index {where}: every value must be finite in float32")
        low, high = min(low, least), max(high, most)
        binary = binary and bool(((piece == 0) | (piece == 1)).all())
    return Values(low, high, binary)


def _check_type(name: str, array: np.ndarray) -> None:
    if array.ndim not in (2, 3, 4) or 0 in array.shape:
        raise UsageError(f"array {name} has shape {array.shape}: must be {SHAPES}")
    if array.dtype not in (np.uint8, np.bool_) and not np.issubdtype(array.dtype, np.floating):
        raise UsageError(f"array {name} is {array.dtype}: must be uint8, bool or float")


def _axes(name: str, shape: tuple[int, ...], channels: str | None) -> str:
    if len(shape) == 2:
        if channels:
            raise UsageError(f"dataset.channels={channels}: array {name} has shape {shape}, vectors without channels")
        return "keep"
    if channels:
        return "last" if channels == "last" else "keep"
    if len(shape) == 3:
        return "grey"
    first, last = _colour(shape[1]), _colour(shape[3])
    if first == last:
        reason = "both axis 1 and axis 3" if first else "neither axis 1 nor axis 3"
        raise UsageError(
            f"array {name} has shape {shape}: {reason} can be the channels (1 to 4);"
            " set dataset.channels to first or last"
        )
    return "keep" if first > last else "last"


def _colour(size: int) -> int:
    """How well an axis of this size fits channels: grey and RGB better than 2 and 4, others not at all."""
    return {1: 2, 3: 2, 2: 1, 4: 1}.get(size, 0)


def _support(arrays: Mapping[str, np.ndarray], values: Mapping[str, Values], channels: str | None) -> str:
    if all(each.binary for each in values.values()):
        return "binary"
    (first, array), *others = arrays.items()
    for name, other in others:
        if _kind(other) != _kind(array):
            raise UsageError(
                f"array {first} is {array.dtype} and {name} is {other.dtype}: they must be on one scale, all uint8 "
                "(level k stands for k/255) or all float"
            )
    if _kind(array) == "u":
        return "levels"
    low, high = min(each.low for each in values.values()), max(each.high for each in values.values())
    if low >= 0 and high <= 1:
        return "unit"
    if array.ndim == 4 or (array.ndim == 3 and not channels):
        signals = "; for signals [N, C, T] set dataset.channels=first" if array.ndim == 3 else ""
        raise UsageError(
            f"array {first} holds float pictures in [{low:g}, {high:g}]: scale to [0, 1] or store uint8{signals}"
        )
    return "real"


def _kind(array: np.ndarray) -> str:
    return array.dtype.kind
