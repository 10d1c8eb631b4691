"""The only place that draws random numbers on the training path."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, Protocol

import torch
from torch import Tensor

Kind = Literal["normal", "uniform"]


class Source(Protocol):
    """What :func:`source` accepts."""

    def draw(self, kind: Kind, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Independent draws from N(0, 1) (``normal``) or U[0, 1) (``uniform``)."""


class DefaultGenerator:
    """Draws from torch's default generator of the device, which :func:`reseed` sets."""

    def draw(self, kind: Kind, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
        return (torch.randn if kind == "normal" else torch.rand)(shape, dtype=dtype, device=device)


_source: Source = DefaultGenerator()
_rank, _world = 0, 1
_sizes: tuple[int, ...] | None = None
_default_batch: int | None = None


def normal(shape: Sequence[int], like: Tensor, batch: int | None = None) -> Tensor:
    """Draws from N(0, 1).

    Args:
        shape: shape of the result on this rank.
        like: gives dtype and device.
        batch: which dimension of ``shape`` is the batch, or None where there is none; see :func:`ranks`.
    """
    return _draw("normal", tuple(shape), like, batch)


def uniform(shape: Sequence[int], like: Tensor, batch: int | None = None) -> Tensor:
    """Draws from U(0, 1), both ends excluded; arguments as in :func:`normal`."""
    # torch's uniform is a multiple of eps / 2 in [0, 1)
    return _draw("uniform", tuple(shape), like, batch).clamp(min=torch.finfo(like.dtype).eps / 4)


def gumbel(shape: Sequence[int], like: Tensor, batch: int | None = None) -> Tensor:
    """Draws from Gumbel(0, 1), -log(-log u); arguments as in :func:`normal`."""
    return -(-uniform(shape, like, batch).log()).log()


def _draw(kind: Kind, shape: tuple[int, ...], like: Tensor, batch: int | None) -> Tensor:
    if batch is None:
        batch = _default_batch
    if _world == 1 or batch is None:
        return _source.draw(kind, shape, like.dtype, like.device)
    size = shape[batch]
    first, total = _share(size)
    everyone = (*shape[:batch], total, *shape[batch + 1 :])
    return _source.draw(kind, everyone, like.dtype, like.device).narrow(batch, first, size)


def _share(size: int) -> tuple[int, int]:
    """Where ``size`` draws of this process begin among those of all, and how many these are."""
    if _sizes is None:
        return _rank * size, _world * size
    times = size // _sizes[_rank]  # draws per example
    return times * sum(_sizes[:_rank]), times * sum(_sizes)


def reseed(*keys: int) -> None:
    """Sets the default generators of the CPU and, where in use, of the current GPU: a pure function of the keys.

    Dropout and whatever else draws from torch's default generators follows too.

    Args:
        keys: any integers, such as seed, epoch and batch; (1, 2) and (2, 1) give unrelated streams.
    """
    seed = 0
    for key in (len(keys), *keys):  # splitmix64
        seed = (seed ^ key) + 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
        seed = (seed ^ seed >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        seed = (seed ^ seed >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
        seed ^= seed >> 31
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(seed)


@contextmanager
def seeded(*keys: int) -> Iterator[None]:
    """Inside, the generators start from ``keys``; afterwards they go on as if nothing had been drawn."""
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if torch.cuda.is_initialized() else []):
        reseed(*keys)
        yield


@contextmanager
def ranks(rank: int, world: int, sizes: Sequence[int] | None = None) -> Iterator[None]:
    """Inside, a batch of B examples is rank ``rank``'s share of a global batch of ``world * B``, or of sum(sizes).

    Draws with a batch dimension are made for the global batch and sliced, so that ``world`` processes with the same
    generator state use the noise that one process would use. Draws without one are equal on all ranks.

    Args:
        rank: this process, in [0, world).
        world: number of processes, >= 1.
        sizes: examples of the batch on each process, >= 1, where they may differ; None where all have B.
    """
    global _rank, _world, _sizes
    before, (_rank, _world, _sizes) = (_rank, _world, _sizes), (rank, world, None if sizes is None else tuple(sizes))
    try:
        yield
    finally:
        _rank, _world, _sizes = before


def place() -> tuple[int, int]:
    """Rank and number of the processes that share a batch; (0, 1) outside :func:`ranks`."""
    return _rank, _world


@contextmanager
def batch_first() -> Iterator[None]:
    """Inside, draws that name no batch dimension take the first one: ``p.sample((B,))`` of a prior, one per example."""
    global _default_batch
    before, _default_batch = _default_batch, 0
    try:
        yield
    finally:
        _default_batch = before


@contextmanager
def source(replacement: Source) -> Iterator[None]:
    """Inside, all draws come from ``replacement.draw(kind, shape, dtype, device)``."""
    global _source
    before, _source = _source, replacement
    try:
        yield
    finally:
        _source = before
