"""What the file of a dataset returns."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from vaezoo.data.mapped import Mapped
from vaezoo.data.pictures import Pictures
from vaezoo.errors import UsageError


class Part(NamedTuple):
    """The stored examples of one split.

    Args:
        x: uint8 or float32 ``[N, *event]``, or files that are read when their examples are asked for.
        y: labels, long ``[N]`` or float ``[N, *]``; None without labels.
    """

    x: Tensor | Pictures | Mapped
    y: Tensor | None = None


@dataclass(frozen=True)
class Raw:
    """A dataset as it is stored.

    Args:
        train: training examples, validation examples included where ``val`` is None.
        test: test examples.
        val: the dataset's own validation split, or None to hold examples out of ``train``.
        support: where x lives, see :class:`vaezoo.shapes.Shapes`; uint8 values stand for k/255.
        label_names: what the classes 0..C-1 are called; None where they are numbers, or there are none.
    """

    train: Part
    test: Part
    val: Part | None = None
    support: str = "levels"
    label_names: tuple[str, ...] | None = None

    @cached_property
    def checksum(self) -> str:
        """First 16 hex digits of the SHA-256 of every stored value and label."""
        digest = hashlib.sha256()
        for part in (self.train, self.test, self.val or Part(torch.empty(0))):
            for values in part:
                if isinstance(values, Tensor):
                    digest.update(repr((values.dtype, tuple(values.shape))).encode())
                    digest.update(values.contiguous().numpy().data)
                elif values is not None:
                    digest.update(values.fingerprint)
        return digest.hexdigest()[:16]


def shuffled(
    x: Tensor | Pictures | Mapped,
    y: Tensor | None,
    test_size: int | None,
    name: str,
    support: str = "levels",
    val: Part | None = None,
    label_names: tuple[str, ...] | None = None,
) -> Raw:
    """Examples in an order fixed for ever (seed 0), of which the last ``test_size`` (None: a tenth) are the test split.

    Raises:
        UsageError: no training example is left.
    """
    test_size = max(1, len(x) // 10) if test_size is None else test_size
    if not 0 < test_size < len(x):
        raise UsageError(f"{name}: cannot hold {test_size} test examples out of {len(x)}")
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    train, test = (
        Part(x[index], None if y is None else y[index]) for index in (order[:-test_size], order[-test_size:])
    )
    return Raw(train, test, val, support, label_names)
