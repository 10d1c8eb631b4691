"""How many of its codes a quantizer uses, and what they cost without a learned prior."""

from math import log, prod
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from vaezoo.batch import Batch
from vaezoo.evaluate.mean import Mean


def code_counts(codes: Tensor, books: int, size: int) -> Tensor:
    """How often each value occurs in each codebook, ``[G, K]``, of codes ``[B, *event]`` that hold the books in order.

    Args:
        codes: long ``[B, *event]``, where the first dimension of the event is the codebook if there are several.
        books: G.
        size: K.
    """
    offsets = size * torch.arange(books, device=codes.device).view(-1, 1)
    flat = (codes.reshape(len(codes), books, -1) + offsets).flatten()
    counts = torch.zeros(books * size, device=codes.device)
    return counts.index_add_(0, flat, torch.ones_like(flat, dtype=counts.dtype)).view(books, size)


def perplexity(counts: Tensor) -> Tensor:
    r""":math:`\exp(-\sum_k p_k \log p_k)` of the shares p of ``counts [G, K]``, in [1, K]; mean over the G, ``[]``."""
    shares = counts / counts.sum(-1, keepdim=True)
    return torch.special.xlogy(shares, shares).sum(-1).neg().exp().mean()


def codes_used(counts: Tensor) -> Tensor:
    """How many of the K values of ``counts [G, K]`` occur; mean over the G, ``[]``."""
    return (counts > 0).sum(-1).to(counts.dtype).mean()


class Perplexity(Metric):
    """Perplexity of the codes of one level over all examples.

    Args:
        level: which level of latents.
        books: number of codebooks.
        size: K.
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, level: int, books: int, size: int) -> None:
        super().__init__()
        self.level, self.books, self.size = level, books, size
        self.add_state("counts", torch.zeros(books, size, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, model: Any, batch: Batch) -> None:
        """Adds the codes of a batch."""
        q = model.latents(batch.x, model.condition(batch))[self.level].q
        self.counts = self.counts + code_counts(q.codes, self.books, self.size)

    def compute(self) -> Tensor:
        """The perplexity, ``[]``."""
        return perplexity(self.counts)


class CodesUsed(Perplexity):
    """How many values the codes of one level take over all examples."""

    def compute(self) -> Tensor:
        """The number of values, ``[]``."""
        return codes_used(self.counts)


class UniformRate(Mean):
    """N log K summed over the levels: what the codes cost under a uniform prior, nats per example."""

    def update(self, model: Any, batch: Batch) -> None:  # type: ignore[override]
        """Adds the examples of a batch."""
        rate = sum(prod(quantizer.event) * log(quantizer.codes) for quantizer in model.quantizers)
        super().update(batch.x.new_full((len(batch.x),), rate))
