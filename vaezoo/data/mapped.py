"""Arrays that stay on disk: rows are read when they are asked for."""

import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vaezoo.errors import UsageError

CHUNK = 2**26  # bytes that are looked at together
DENSE = 16  # from one row in so many on, reading the whole file is faster


def chunks(array: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """An array in pieces of about 64 MB with the position of their first row.

    Pages of a memory map count as memory of the process while it is mapped: each piece has a map of its own.
    """
    step = max(1, CHUNK // max(1, array.itemsize * array[:1].size))
    for start in range(0, len(array), step):
        yield start, window(array)[start : start + step]


def window(array: np.ndarray) -> np.ndarray:
    """The same array; of a memory map, a new map of the same file."""
    if not isinstance(array, np.memmap):
        return array
    return np.memmap(str(array.filename), array.dtype, "r", array.offset, array.shape)


def arrange(rows: np.ndarray, axes: str, binary: bool) -> np.ndarray:
    """Rows of a file as they are stored in a split: uint8 or float32, channels before height and width.

    Args:
        rows: ``[N, *]``.
        axes: ``keep``, ``grey`` (there is no axis of channels) or ``last`` (it is the last one).
        binary: the values are 0 and 1, which become the levels 0 and 255.
    """
    if axes != "keep":
        rows = rows[:, None] if axes == "grey" else np.moveaxis(rows, -1, 1)
    if binary:
        return np.ascontiguousarray(rows, np.uint8) * np.uint8(255)
    return np.ascontiguousarray(rows, np.uint8 if rows.dtype == np.uint8 else np.float32)


class Mapped(Dataset[Tensor]):
    """Rows of a memory map that become tensors when they are indexed.

    Args:
        array: of a file in row order.
        axes: as in :func:`arrange`.
        binary: as in :func:`arrange`.
        bounds: smallest and largest value.
    """

    def __init__(self, array: np.memmap, axes: str, binary: bool, bounds: tuple[float, float]) -> None:
        self.file, self.stored = Path(str(array.filename)).absolute(), (array.dtype, array.offset, array.shape)
        self.axes, self.binary, self.bounds = axes, binary, bounds
        self.index, self.scale = torch.arange(len(array)), None
        example = self.decode([0])
        self.shape, self.dtype = tuple(example.shape[1:]), example.dtype

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: int | slice | Tensor):
        """One example for an int, the same array in another order or number for a slice or an index tensor."""
        if isinstance(index, int):
            return self.decode([index])[0]
        part = object.__new__(Mapped)
        part.__dict__.update(self.__dict__, index=self.index[index])
        return part

    def __getitems__(self, index: list[int]) -> list[Tensor]:
        """Several examples at once, for torch's DataLoader."""
        return list(self.decode(index))

    def decode(self, index: Iterable[int]) -> Tensor:
        """Several examples at once, uint8 or float32 ``[N, *event]``."""
        rows = self._read(self.index[list(index)].numpy())
        x = torch.from_numpy(arrange(rows, self.axes, self.binary))
        return x if self.scale is None else self.scale.apply(x)

    def scaled(self, scale: Any) -> "Mapped":
        """The same rows standardised by a :class:`vaezoo.data.standardise.Scale`."""
        part = self[:]
        part.scale = scale
        step = max(1, CHUNK // (4 * prod(self.shape)))
        pieces = [part.decode(range(k, min(k + step, len(part)))).aminmax() for k in range(0, len(part), step)]
        part.bounds = min(float(low) for low, _ in pieces), max(float(high) for _, high in pieces)
        return part

    def _read(self, index: np.ndarray) -> np.ndarray:
        """Rows of the file; a map of it would bring the pages around each row into memory."""
        dtype, offset, shape = self.stored
        rows = np.empty((len(index), *shape[1:]), dtype)
        if DENSE * len(index) > shape[0]:
            order = index.argsort()
            position, ordered = 0, index[order]
            for start, piece in chunks(np.memmap(self.file, dtype, "r", offset, shape)):
                end = int(ordered.searchsorted(start + len(piece)))
                rows[order[position:end]] = piece[ordered[position:end] - start]
                position = end
            return rows
        flat = rows.reshape(len(index), -1).view(np.uint8)
        with self.file.open("rb", buffering=0) as stream:
            for row, number in zip(flat, index.tolist(), strict=True):
                stream.seek(offset + number * flat.shape[1])
                if stream.readinto(row.data) != flat.shape[1]:
                    raise UsageError(f"{self.file} has become shorter while it was read")
        return rows

    @property
    def fingerprint(self) -> bytes:
        """Changes with the content of the file, with how it is read and with which rows are taken."""
        digest = hashlib.sha256(self.index.contiguous().numpy().data)
        about = self.file.stat()
        digest.update(repr((self.axes, self.binary, _digest(self.file, about.st_size, about.st_mtime_ns))).encode())
        return digest.digest()


@cache
def _digest(file: Path, size: int, changed: int) -> str:
    """SHA-256 of a file, computed again where its size or its time of change differ."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(2**24):
            digest.update(block)
    return digest.hexdigest()
