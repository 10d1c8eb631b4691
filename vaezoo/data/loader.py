"""Loaders whose order can be repeated, resumed and shared among processes."""

from collections.abc import Iterator

import torch
from torch import Tensor

from vaezoo.batch import Batch
from vaezoo.data import draws
from vaezoo.data.split import Split
from vaezoo.errors import UsageError


class Order:
    """The order of training: a pure function of (seed, epoch).

    Each epoch is a permutation cut into global batches of ``batch_size * world``; process ``rank`` gets the ``rank``-th
    contiguous slice of each. The last global batch is trimmed to a multiple of ``world``.

    Args:
        size: number of training examples.
        batch_size: examples per batch and process, >= 1.
        seed: seed of the permutations.
        rank: this process.
        world: number of processes.
        drop_last: leave out a last batch that is not full.

    Raises:
        UsageError: not even one batch fits.
    """

    def __init__(
        self, size: int, batch_size: int, seed: int = 0, rank: int = 0, world: int = 1, drop_last: bool = False
    ) -> None:
        self.size, self.whole, self.seed, self.rank, self.world = size, batch_size * world, seed, rank, world
        self.drop_last, self.epoch = drop_last, 0
        if not len(self):
            raise UsageError(
                f"{size} training examples do not fill one batch: dataset.batch_size={batch_size} on {world} "
                f"process{'es' * (world > 1)} with dataset.drop_last={str(drop_last).lower()}"
            )

    def set_epoch(self, epoch: int) -> None:
        """Choose the permutation; Lightning calls it at the start of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        full, rest = divmod(self.size, self.whole)
        return full + (rest >= self.world and not self.drop_last)

    def batches(self) -> list[Tensor]:
        """The indices of each batch of this process, long ``[B]`` each."""
        generator = torch.Generator().manual_seed(int(draws.stream(self.seed, "order", self.epoch)) >> 1)
        permutation = torch.randperm(self.size, generator=generator)
        return [self._slice(whole) for whole in permutation.split(self.whole)[: len(self)]]

    def _slice(self, whole: Tensor) -> Tensor:
        share = len(whole) // self.world
        return whole[self.rank * share : (self.rank + 1) * share]


class TrainLoader:
    """Batches in the order of training; an interrupted epoch goes on where it stopped.

    ``state_dict`` holds the number of batches handed out in this epoch, that is trained on: what workers have read
    ahead does not count. After ``load_state_dict`` the next epoch, and only that one, starts there; a finished epoch
    counts as 0 batches done, because Lightning then asks for the next one.

    Args:
        split: where the examples come from.
        order: their order; offered as ``sampler`` and ``batch_sampler``, where Lightning looks for ``set_epoch``.
        workers: processes that read files ahead.
    """

    def __init__(self, split: Split, order: Order, workers: int = 0) -> None:
        self.split, self.workers = split, workers
        self.sampler = self.batch_sampler = order
        self._done, self._resume = 0, False

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        # a generator: nothing here runs before the first batch is asked for, when Lightning has set the epoch
        self._done, self._resume = self._done if self._resume else 0, False
        plan = self.sampler.batches()[self._done :]
        for index, rows in zip(plan, self.split.stream(plan, self.workers), strict=True):
            self._done += 1
            yield self.split.batch(index, self.sampler.epoch, rows)

    def state_dict(self) -> dict[str, int]:
        """``{"done": batches handed out}``."""
        return {"done": self._done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on after ``done`` batches."""
        self._done, self._resume = state["done"] % len(self), True


class EvalLoader:
    """Batches in the order of the data, each example once.

    The data are cut into global batches as one process would cut them, and each of these into ``world`` contiguous
    shares: all processes see the same number of batches, none of them empty. Sizes differ by at most one: weight
    metrics by the number of examples.

    Args:
        split: where the examples come from.
        batch_size: upper bound on the examples per batch, >= 1 (one more where only that avoids an empty batch).
        rank: this process.
        world: number of processes.
        workers: processes that read files ahead.

    Raises:
        UsageError: there are fewer examples than processes.
    """

    def __init__(self, split: Split, batch_size: int, rank: int = 0, world: int = 1, workers: int = 0) -> None:
        if len(split) < world:
            raise UsageError(f"{len(split)} {split.name} examples cannot be shared by {world} processes")
        batches = min(-(-len(split) // (batch_size * world)), len(split) // world)
        self.plan = [whole.tensor_split(world)[rank] for whole in torch.arange(len(split)).tensor_split(batches)]
        self.split, self.workers = split, workers

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[Batch]:
        for index, rows in zip(self.plan, self.split.stream(self.plan, self.workers), strict=True):
            yield self.split.batch(index, rows=rows)
