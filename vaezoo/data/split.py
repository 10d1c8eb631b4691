"""One split of a dataset: what is stored and how it becomes a batch."""

from collections.abc import Iterator
from itertools import repeat

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from vaezoo.batch import Batch
from vaezoo.data import draws
from vaezoo.data.raw import Part
from vaezoo.data.standardise import Scale
from vaezoo.errors import UsageError


class Split:
    r"""Stored examples, turned into batches on request; ``split[:64]`` is a :class:`Batch`.

    With k in 0..255 the stored value, x is

    - ``none``: :math:`k/255`;  with ``dequantise``: :math:`(k + u)/256`, u uniform on [0, 1) in steps of 2^-16
    - ``threshold``: 1 where :math:`k/255 > 1/2`;  ``static`` and ``dynamic``: 1 with probability exactly :math:`k/255`.

    A draw belongs to an example: it is a pure function of (``name``, ``seed``, epoch, index of the example), so it does
    not depend on the order, the batch size or the number of processes; a fixed one depends on ``name`` and index only.

    Args:
        name: name of the split.
        part: stored examples; a tensor may live on any device.
        binarise: ``none``, ``threshold``, ``static`` (drawn once) or ``dynamic`` (drawn in each epoch).
        dequantise: add noise below one level; drawn in each epoch.
        seed: seed of the draws.
        fixed: draw once, the same for every seed and epoch (validation and test).
        scale: how the examples have been standardised; None where they are in units of the data.
    """

    def __init__(
        self,
        name: str,
        part: Part,
        binarise: str = "none",
        dequantise: bool = False,
        seed: int = 0,
        fixed: bool = True,
        scale: Scale | None = None,
    ) -> None:
        self.name, (self.x, self.y) = name, part
        self.binarise, self.dequantise, self.seed = binarise, dequantise, seed
        self.fixed, self.scale = fixed or binarise == "static", scale

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: slice | Tensor) -> Batch:
        return self.batch(torch.arange(len(self))[index])

    def batch(self, index: Tensor, epoch: int = 0, rows: Tensor | None = None) -> Batch:
        """The examples ``index``, long ``[B]`` on the CPU, as they are in ``epoch``; ``rows`` if already loaded."""
        if rows is None:
            rows = self._rows(index)
        x = self._values(rows, index, epoch)
        index = index.to(rows.device)
        return Batch(x, None if self.y is None else self.y.index_select(0, index), index)

    def stream(self, plan: list[Tensor], workers: int) -> Iterator[Tensor | None]:
        """The stored rows of each batch of ``plan`` where they are files, read ahead by ``workers`` processes."""
        if isinstance(self.x, Tensor):
            yield from repeat(None, len(plan))
            return
        indices = [index.tolist() for index in plan]
        # its own generator: a DataLoader would otherwise advance the one that training noise comes from
        own = torch.Generator()
        try:
            yield from DataLoader(
                self.x, batch_sampler=indices, num_workers=workers, collate_fn=torch.stack, generator=own
            )
        except UsageError as error:  # from a worker: its text ends with ours, after a traceback
            raise UsageError(str(error).strip().splitlines()[-1].split("UsageError: ")[-1]) from error

    def mean(self, limit: int = 1000) -> Tensor:
        """Mean stored example as x in [0, 1], ``[*event]``; of files, the mean of ``limit`` that are evenly spread."""
        if not isinstance(self.x, Tensor):
            spread = torch.linspace(0, len(self) - 1, min(limit, len(self))).long().unique()
            rows = self.x.decode(spread.tolist())
        else:
            rows = self.x.cpu()
        if self.binarise == "threshold":
            rows = self._values(rows, torch.arange(len(rows)), 0)
        mean = torch.from_numpy(rows.numpy().mean(0, dtype="float64")).float()  # numpy: 8x faster than torch here
        return mean / 255 if rows.dtype == torch.uint8 else mean

    def _rows(self, index: Tensor) -> Tensor:
        if not isinstance(self.x, Tensor):
            return self.x.decode(index.tolist())
        return self.x.index_select(0, index.to(self.x.device))

    def _values(self, rows: Tensor, index: Tensor, epoch: int) -> Tensor:
        byte = rows.dtype == torch.uint8
        if self.binarise == "threshold":
            return _ones(rows > (127 if byte else 0.5))
        if self.binarise == "none" and not self.dequantise:
            return rows.float().div_(255) if byte else rows
        key = draws.stream(self.name) if self.fixed else draws.stream(self.name, self.seed, epoch)
        size, where = rows[0].numel(), index.numpy()
        if self.dequantise:
            noise = _like(draws.bits(key, where, size, "uint16").astype("float32"), rows)
            return rows.float().mul_(65536).add_(noise).div_(2**24)  # every step is exact in float32
        if byte:
            return _ones(rows > _like(draws.thresholds(key, where, size), rows))
        noise = _like((draws.bits(key, where, size, "uint32") >> 8).astype("float32"), rows)
        return _ones(rows > noise.div_(2**24))


def _ones(true: Tensor) -> Tensor:
    return true.view(torch.uint8).float()  # a direct cast from bool takes five times as long


def _like(values: np.ndarray, rows: Tensor) -> Tensor:
    return torch.from_numpy(values).view(rows.shape).to(rows.device)
