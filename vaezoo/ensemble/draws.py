"""Noise for members that are trained at once: each draws from generators of its own."""

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vaezoo.distributions import noise


class Wish(NamedTuple):
    """The arguments of one draw."""

    kind: noise.Kind
    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device


class Unforeseen(Exception):
    """A computation asks for other draws than it did the last time."""


class MemberNoise:
    """A :class:`vaezoo.distributions.noise.Source` for code under ``torch.vmap``: one draw there is one per member.

    A member's draws are those that torch's default generators would give to a run of its own with the same keys.

    Args:
        seeds: of the members.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self.seeds = list(seeds)
        self._keys: list[int] = []  # what a run of its own would seed the default generators with
        self._generators: dict[torch.device, list[torch.Generator]] = {}
        self._known: dict[Hashable, list[Wish]] = {}  # what a computation asked for the last time
        self._number: Tensor | None = None
        self._ready: list[Tensor] | None = None
        self._asked: list[Wish] = []

    def reseed(self, *keys: int) -> None:
        """Starts each member's generators as ``noise.reseed(keys[0], its seed, *keys[1:])`` starts the default ones."""
        self._keys = []
        for seed in self.seeds:
            noise.reseed(keys[0], seed, *keys[1:])
            self._keys.append(torch.initial_seed())
        self.restart()

    def restart(self) -> None:
        """Starts the generators where the last :meth:`reseed` did."""
        for generators in self._generators.values():
            self._start(generators)

    def ahead(self, computation: Hashable) -> list[Tensor] | None:
        """What a computation asked for the last time, drawn outside of ``torch.vmap``, where it costs a fraction.

        Returns:
            ``[M, *shape]`` each; None if the computation is new.
        """
        known = self._known.get(computation)
        return None if known is None else [self.draw_all(wish) for wish in known]

    @contextmanager
    def of(self, number: Tensor, computation: Hashable, ready: list[Tensor] | None) -> Iterator[None]:
        """Inside, draws belong to one member.

        Args:
            number: its number, which ``torch.vmap`` has batched, ``[]``.
            computation: what is computed, for :meth:`ahead`.
            ready: what :meth:`ahead` gave, batched as well.

        Raises:
            Unforeseen: draws are ready, and others are asked for.
        """
        self._number, self._ready, self._asked = number, ready, []
        try:
            with noise.source(self):
                yield
            if ready is None:
                self._known[computation] = self._asked
            elif self._asked != self._known[computation]:
                raise Unforeseen
        except Unforeseen:
            del self._known[computation]
            raise
        finally:
            self._number, self._ready = None, None

    def draw(self, kind: noise.Kind, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
        """One draw, which under ``torch.vmap`` is one for each member."""
        wish, place = Wish(kind, tuple(shape), dtype, device), len(self._asked)
        self._asked.append(wish)
        if self._ready is None:
            return _Draw.apply(self._number, self, wish)
        if place >= len(self._ready) or self._ready[place].shape != wish.shape:
            raise Unforeseen
        return self._ready[place]

    def draw_all(self, wish: Wish) -> Tensor:
        """The draws of all members, ``[M, *shape]``."""
        if wish.device not in self._generators:
            self._generators[wish.device] = self._start([torch.Generator(wish.device) for _ in self.seeds])
        drawn = torch.empty(len(self.seeds), *wish.shape, dtype=wish.dtype, device=wish.device)
        function = torch.randn if wish.kind == "normal" else torch.rand
        for row, generator in zip(drawn, self._generators[wish.device], strict=True):
            function(wish.shape, generator=generator, out=row)
        return drawn

    def _start(self, generators: list[torch.Generator]) -> list[torch.Generator]:
        for generator, key in zip(generators, self._keys, strict=True):
            generator.manual_seed(key)
        return generators


class _Draw(torch.autograd.Function):
    """``MemberNoise.draw_all`` as one operation, whose rule for ``torch.vmap`` sees all members."""

    @staticmethod
    def forward(number: Tensor, source: MemberNoise, wish: Any) -> Tensor:  # type: ignore[override]
        raise RuntimeError("members draw together, under torch.vmap")

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing is kept: noise has no gradient."""

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, number: Tensor, source: MemberNoise, wish: Any) -> tuple[Tensor, int]:  # type: ignore[override]
        return source.draw_all(Wish(*wish)), 0
