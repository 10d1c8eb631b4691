"""Finite scalar quantisation."""

from math import prod

import torch
from torch import Tensor

from vaezoo.errors import UsageError
from vaezoo.posteriors.quantizer import Quantised, Quantizer
from vaezoo.registry import register
from vaezoo.shapes import Shapes

BEYOND = 1e-3  # by which the bounds exceed the outermost levels, so that these are reached at finite v


@register(paper="Mentzer et al., ICLR 2024, sec. 3.1", url="https://arxiv.org/abs/2309.15505", latent=(4, 4, 4))
class FSQPosterior(Quantizer):
    r"""Bounds each of a few dimensions and rounds it, dimension i to one of :math:`L_i` levels.

    .. math:: f(v) = b \tanh(v + s) - o,\quad \hat e = \mathrm{round}(f(v)),\quad
              z = \sum_i (\hat e_i + \lfloor L_i / 2 \rfloor) \prod_{j < i} L_j

    with b = (L - 1) / 2, o = 1/2 for even L and 0 for odd L, and s = artanh(o / b), so that f(0) = 0. There is neither
    a codebook to learn nor a penalty: every code stands for a point of a fixed lattice of
    :math:`K = \prod_i L_i`. The decoder reads :math:`\hat e_i / \lfloor L_i / 2 \rfloor`, in [-1, 1].

    Args:
        shapes: reads ``features`` and the grid of ``latent``; the size of a vector is that of ``levels``.
        levels: L, each >= 2; the paper recommends at least 5, such as (8, 6, 5), (8, 5, 5, 5) or (7, 5, 5, 5, 5).

    Raises:
        UsageError: a level is below 2, or the grid of the features is not that of the latent.

    Source: Mentzer et al., ICLR 2024 (arXiv 2309.15505), section 3.1.
    """

    def __init__(self, shapes: Shapes, levels: tuple[int, ...] = (8, 5, 5, 5)) -> None:
        if not levels or min(levels) < 2:
            raise UsageError(f"posterior.levels={list(levels)} must list at least one number of levels, each >= 2")
        super().__init__(shapes, len(levels), prod(levels))
        self.levels: Tensor
        self.places: Tensor
        self.register_buffer("levels", torch.tensor(levels), persistent=False)  # L, [d]
        places = torch.tensor([prod(levels[:i]) for i in range(len(levels))])
        self.register_buffer("places", places, persistent=False)  # products of the L before, [d]

    def vectors(self, h: Tensor) -> Tensor:
        """f(v) in units of the half width, ``[B, *embedded]``."""
        rows = self.rows(super().vectors(h))
        return self.arranged(self.bounded(rows) / self.reach)

    def bounded(self, v: Tensor) -> Tensor:
        """f(v), ``[*, d]``."""
        levels = self.levels.to(v.dtype)
        bound, offset = (levels - 1) * ((1 + BEYOND) / 2), (1 - levels % 2) / 2
        return bound * torch.tanh(v + torch.atanh(offset / bound)) - offset

    def quantise(self, v: Tensor) -> Quantised:
        steps = (v * self.reach).round()
        codes = ((steps.long() + self.reach) * self.places).sum(-1)
        return codes.unsqueeze(1), steps / self.reach, {}

    def look_up(self, codes: Tensor) -> Tensor:
        digits = codes.squeeze(-2).unsqueeze(-1) // self.places % self.levels  # [*, P, d]
        return (digits - self.reach).to(self.head.weight.dtype) / self.reach

    @property
    def reach(self) -> Tensor:
        """Half width of the lattice, floor(L / 2), ``[d]``."""
        return self.levels // 2
