"""Arrays of your own: .npz, .npy or .pt."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaezoo.data.raw import Part, Raw, shuffled
from vaezoo.errors import UsageError, near

_BROKEN = (OSError, ValueError, EOFError, AttributeError, RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile)


def load(root: Path, path: str, x: str = "x", y: str = "y", test_size: int | None = None) -> Raw:
    """Pictures or vectors from one file.

    ``x`` is uint8 (level k stands for k/255) or float, of shape ``[N, H, W]``, ``[N, C, H, W]``, ``[N, H, W, C]`` with
    at most 4 channels, or ``[N, D]``. Float pictures lie in [0, 1]. Arrays of only 0 and 1 are binary, float vectors
    outside of [0, 1] are real. A file that holds ``x_test`` (and ``y_test``) gives the test split; otherwise
    ``test_size`` examples are held out, chosen by seed 0.

    Args:
        root: folder that a relative ``path`` starts from.
        path: a .npy file with x alone, or a .npz or .pt (a dict of tensors) file with named arrays.
        x: name of the examples.
        y: name of the labels, integers ``[N]`` or floats ``[N, *]``; there need be none.
        test_size: examples held out for test; None is a tenth. Unused where the file has a test split.

    Raises:
        UsageError: the file is missing or unreadable, or an array has the wrong name, shape or values.
    """
    held = _read(root / path)
    if x not in held:
        raise UsageError(f"dataset.x={x}: {path} holds {', '.join(held)}{near(x, held)}")
    if f"{x}_test" not in held:
        labels = _labels(held, y, len(held[x]))
        examples, support = _examples(x, [held[x]])
        return shuffled(examples[0], labels, test_size, path, support)
    examples, support = _examples(x, [held[x], held[f"{x}_test"]])
    order = torch.randperm(len(examples[0]), generator=torch.Generator().manual_seed(0))
    labels, test_labels = _labels(held, y, len(examples[0])), _labels(held, f"{y}_test", len(examples[1]))
    train = Part(examples[0][order], None if labels is None else labels[order])
    return Raw(train, Part(examples[1], test_labels), support=support)


def _read(file: Path) -> dict[str, np.ndarray]:
    if not file.is_file():
        raise UsageError(f"dataset.path={file}: no such file")
    try:
        if file.suffix == ".npy":
            return {"x": np.load(file, allow_pickle=False)}
        if file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as held:
                return dict(held)
        if file.suffix == ".pt":
            stored = torch.load(file, map_location="cpu", weights_only=True)
            tensors = {"x": stored} if isinstance(stored, Tensor) else stored
            return {name: tensor.numpy(force=True) for name, tensor in tensors.items()}
    except _BROKEN as error:
        reason = str(error).split("\n")[0]
        raise UsageError(f"{file} cannot be read: it must hold plain arrays or tensors ({reason})") from error
    raise UsageError(f"dataset.path={file}: must end in .npz, .npy or .pt")


def _examples(name: str, arrays: list[np.ndarray]) -> tuple[list[Tensor], str]:
    parts = [_shaped(name + "_test" * k, array) for k, array in enumerate(arrays)]
    if all(np.isin(part, (0, 1)).all() for part in parts):
        return [torch.from_numpy(part.astype(np.uint8) * 255) for part in parts], "binary"
    if arrays[0].dtype == np.uint8:
        return [torch.from_numpy(np.ascontiguousarray(part)) for part in parts], "levels"
    low, high = min(part.min() for part in parts), max(part.max() for part in parts)
    inside = low >= 0 and high <= 1
    if not inside and parts[0].ndim > 2:
        raise UsageError(f"array {name} holds float pictures in [{low:g}, {high:g}]: scale to [0, 1] or store uint8")
    return [torch.from_numpy(part.astype(np.float32)) for part in parts], "unit" if inside else "real"


def _shaped(name: str, array: np.ndarray) -> np.ndarray:
    """Checked, and pictures as ``[N, C, H, W]``."""
    if array.dtype not in (np.uint8, np.bool_) and not np.issubdtype(array.dtype, np.floating):
        raise UsageError(f"array {name} is {array.dtype}: must be uint8, bool or float")
    if array.dtype != np.uint8 and not (finite := np.isfinite(array)).all():
        where = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise UsageError(f"array {name} holds {array[where]} at index {where}: every value must be finite")
    if len(array) == 0 or array.ndim not in (2, 3, 4):
        allowed = "[N, D], [N, H, W], [N, C, H, W] or [N, H, W, C]"
        raise UsageError(f"array {name} has shape {array.shape}: must be {allowed}, N >= 1")
    if array.ndim < 4:
        return array[:, None] if array.ndim == 3 else array
    if array.shape[1] <= 4:
        return array
    if array.shape[3] <= 4:
        return array.transpose(0, 3, 1, 2)
    raise UsageError(f"array {name} has shape {array.shape}: neither axis 1 nor axis 3 can be the channels (at most 4)")


def _labels(held: dict[str, Any], name: str, count: int) -> Tensor | None:
    if name not in held:
        return None
    y = held[name]
    if len(y) != count:
        raise UsageError(f"array {name} has {len(y)} labels for {count} examples")
    if np.issubdtype(y.dtype, np.floating):
        if not np.isfinite(y).all():
            raise UsageError(f"array {name} holds a value that is not finite")
        return torch.from_numpy(y.astype(np.float32))
    return torch.from_numpy(y.astype(np.int64))
