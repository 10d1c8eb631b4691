"""What the file of a dataset returns."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from vaezoo.data.pictures import Pictures
from vaezoo.errors import UsageError


class Part(NamedTuple):
    """The stored examples of one split.

    Args:
        x: uint8 or float32 ``[N, *event]``, or picture files that are decoded when they are asked for.
        y: labels, long ``[N]`` or float ``[N, *]``; None without labels.
    """

    x: Tensor | Pictures
    y: Tensor | None = None


@dataclass(frozen=True)
class Raw:
    """A dataset as it is stored.

    Args:
        train: training examples, validation examples included where ``val`` is None.
        test: test examples.
        val: the dataset's own validation split, or None to hold examples out of ``train``.
        support: where x lives, see :class:`vaezoo.shapes.Shapes`; uint8 values stand for k/255.
    """

    train: Part
    test: Part
    val: Part | None = None
    support: str = "levels"

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


def shuffled(x: Tensor | Pictures, y: Tensor | None, test_size: int | None, name: str, support: str = "levels") -> Raw:
    """Examples in an order fixed for ever (seed 0), of which the last ``test_size`` (None: a tenth) are the test split.

    Raises:
        UsageError: no training example is left.
    """
    test_size = max(1, len(x) // 10) if test_size is None else test_size
    if not 0 < test_size < len(x):
        raise UsageError(f"{name}: cannot hold {test_size} test examples out of {len(x)}")
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    train, test = order[:-test_size], order[-test_size:]
    if y is None:
        return Raw(Part(x[train]), Part(x[test]), support=support)
    return Raw(Part(x[train], y[train]), Part(x[test], y[test]), support=support)
