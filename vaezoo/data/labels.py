"""Labels of any kind as class numbers 0..C-1 with names, or as floats."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaezoo.data.say import listed, say
from vaezoo.errors import UsageError, near

Names = tuple[str, ...] | None


def encode(
    arrays: Mapping[str, np.ndarray | None], hidden: int | str | None = None
) -> tuple[list[Tensor | None], Names]:
    """The labels of all splits of a dataset.

    Integers, strings and booleans become classes: the different values in all splits, sorted, are numbered from 0.
    One-hot rows become classes too. Other floats, and integers of several columns, become floats.

    Args:
        arrays: the labels of each split under the name that errors use; ``[N]`` or ``[N, *]``, None without labels.
        hidden: the label that stands for "unknown"; it becomes -1 and is not a class. None: every label is a class.

    Returns:
        The labels in the same order, long ``[N]`` or float32 ``[N, *]``, and the names of the classes: None for floats
        and for integers that are 0..C-1 already.

    Raises:
        UsageError: an array cannot hold labels, the splits have labels of different kinds, or ``hidden`` is not one.
    """
    plain = {name: _plain(name, y) for name, y in arrays.items() if y is not None}
    if not plain:
        if hidden is not None:
            raise UsageError(f"dataset.hidden_label={hidden}: there are no labels")
        return [None] * len(arrays), None
    _check_alike(plain)
    if all(y.ndim == 2 and y.dtype.kind in "biuf" and _is_one_hot(y) for y in plain.values()):
        say(f"labels {' and '.join(plain)}: one-hot, {len(next(iter(plain.values()))[0])} classes")
        found, names = {name: torch.from_numpy(y.argmax(1)) for name, y in plain.items()}, None
    elif all(y.ndim == 1 and y.dtype.kind != "f" for y in plain.values()):
        found, names = _classes(plain, hidden)
        hidden = None
    else:
        found, names = {name: _floats(name, y) for name, y in plain.items()}, None
    if hidden is not None:
        raise UsageError(f"dataset.hidden_label={hidden}: {' and '.join(plain)} must hold one class label per example")
    return [found.get(name) for name in arrays], names


def _plain(name: str, y: np.ndarray) -> np.ndarray:
    """Strings as str, a single column as ``[N]``."""
    if y.ndim == 0 or 0 in y.shape:
        raise UsageError(f"array {name} has shape {y.shape}: labels must be [N] or [N, *]")
    try:
        if y.dtype.kind in "SO":
            y = np.array([v.decode() if isinstance(v, bytes) else str(v) for v in y.ravel()]).reshape(y.shape)
    except UnicodeDecodeError as error:
        raise UsageError(f"array {name} holds text that is not UTF-8 ({error})") from error
    if y.dtype.kind not in "biufU":
        raise UsageError(f"array {name} is {y.dtype}: labels must be integers, strings, booleans or floats")
    if y.ndim == 2 and 1 in y.shape and y.dtype.kind != "f":
        return y.reshape(-1)
    if y.ndim > 1 and y.dtype.kind == "U":
        raise UsageError(f"array {name} has shape {y.shape}: strings must be [N]")
    return y


def _check_alike(plain: Mapping[str, np.ndarray]) -> None:
    (first, y), *others = plain.items()
    for name, other in others:
        if (_kind(y), y.shape[1:]) != (_kind(other), other.shape[1:]):
            about = f"{first} is {y.dtype} {y.shape} and {name} is {other.dtype} {other.shape}"
            raise UsageError(f"the splits have labels of different kinds: {about}")


def _kind(y: np.ndarray) -> str:
    return "integer" if y.dtype.kind in "iu" else y.dtype.kind


def _is_one_hot(y: np.ndarray) -> bool:
    return y.shape[1] > 1 and bool(((y == 0) | (y == 1)).all() and (y.sum(1) == 1).all())


def _classes(plain: Mapping[str, np.ndarray], hidden: int | str | None) -> tuple[dict[str, Tensor], Names]:
    unique = {name: np.unique(y, return_inverse=True) for name, y in plain.items()}
    values: list[Any] = sorted({value for each, _ in unique.values() for value in each.tolist()})
    if hidden is not None:
        values = _without(hidden, values, " and ".join(plain))
    number = {value: position for position, value in enumerate(values)}
    found = {}
    for name, (each, inverse) in unique.items():
        table = torch.tensor([number.get(value, -1) for value in each.tolist()])
        found[name] = table[torch.from_numpy(inverse.reshape(-1))]
    counted = all(type(value) is int for value in values) and values == list(range(len(values)))
    names = None if counted else tuple(map(str, values))
    if names:
        say(f"labels {' and '.join(plain)}: {len(names)} classes ({listed(names)})")
    return found, names


def _without(hidden: int | str, values: list[Any], arrays: str) -> list[Any]:
    texts = {str(value): value for value in values}
    if str(hidden) not in texts:
        raise UsageError(f"dataset.hidden_label={hidden}: no label of {arrays} is {hidden}{near(str(hidden), texts)}")
    others = [value for text, value in texts.items() if text != str(hidden)]
    if not others:
        raise UsageError(f"dataset.hidden_label={hidden}: every label of {arrays} is hidden")
    if type(others[0]) is int and others[0] < 0:
        raise UsageError(f"array {arrays} holds the label {others[0]}: must be at least 0, or {hidden} for hidden")
    return others


def _floats(name: str, y: np.ndarray) -> Tensor:
    if y.dtype.kind != "f":
        say(f"labels {name}: {y.dtype} of shape {list(y.shape)} are used as numbers, not as classes")
    if not (np.isfinite(y).all() and np.abs(y).max() <= np.finfo(np.float32).max):
        raise UsageError(f"array {name} holds a value that is not finite in float32")
    return torch.from_numpy(y.astype(np.float32))
