"""The batches of all members side by side."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from vaezoo.batch import Batch
from vaezoo.data.loader import Order, TrainLoader
from vaezoo.data.split import Split


class MemberLoader:
    """Yields one batch with ``x [M, B, *event]``, ``y [M, B]`` and ``index [M, B]``; each member has its own order.

    Args:
        loaders: of the members, with equal numbers of examples and equal sizes of batches.
    """

    def __init__(self, loaders: Sequence[TrainLoader]) -> None:
        self.loaders, self.split = list(loaders), loaders[0].split
        self.sampler = self.batch_sampler = _Orders([loader.sampler for loader in loaders])
        self.alike = all(_alike(self.split, loader.split) for loader in loaders)

    def __len__(self) -> int:
        return len(self.loaders[0])

    def __iter__(self) -> Iterator[Batch]:
        if not self.alike:
            for batches in zip(*self.loaders, strict=True):
                xs, ys, places = zip(*batches, strict=True)
                yield Batch(torch.stack(xs), None if ys[0] is None else torch.stack(ys), torch.stack(places))
            return
        members, epoch = len(self.loaders), self.sampler.epoch
        for indices in zip(*(loader.sampler.batches() for loader in self.loaders), strict=True):
            x, y, index = self.split.batch(torch.cat(indices), epoch)  # one look-up for all members
            shape = (members, -1)
            yield Batch(x.unflatten(0, shape), None if y is None else y.unflatten(0, shape), index.unflatten(0, shape))


class _Orders:
    """The orders of the members, where Lightning looks for ``set_epoch``."""

    def __init__(self, orders: Sequence[Order]) -> None:
        self.orders, self.epoch = orders, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the permutations."""
        self.epoch = epoch
        for order in self.orders:
            order.set_epoch(epoch)


def _alike(a: Split, b: Split) -> bool:
    """Whether two splits give the same values for an index, in every epoch, and hold them in memory."""
    drawn = not a.fixed and (a.dequantise or a.binarise == "dynamic")
    return not drawn and _same(a.x, b.x) and (a.y is None if b.y is None else _same(a.y, b.y))


def _same(a: object, b: object) -> bool:
    return isinstance(a, Tensor) and isinstance(b, Tensor) and a.data_ptr() == b.data_ptr() and a.shape == b.shape
