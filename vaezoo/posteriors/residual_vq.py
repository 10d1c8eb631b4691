"""Residual vector quantisation."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from vaezoo.errors import UsageError
from vaezoo.networks.codebook import Codebook
from vaezoo.posteriors.quantizer import Quantised, Quantizer
from vaezoo.registry import register
from vaezoo.shapes import Shapes


@register(paper="Zeghidour et al., TASLP 2021, algorithm 1", url="https://arxiv.org/abs/2107.03312", latent=(64, 4, 4))
class ResidualVQPosterior(Quantizer):
    r"""Each stage quantises what the stages before it have left over; the decoder reads the sum.

    .. math:: r_0 = v,\quad z_s = \arg\min_k \|r_{s-1} - e^s_k\|,\quad r_s = r_{s-1} - e^s_{z_s},\quad
              e = \sum_s e^s_{z_s}

    S codebooks of K vectors reach K^S sums. Penalties are summed over the stages, that of stage s on
    :math:`r_{s-1}`. With one stage this is vector quantisation.

    Args:
        shapes: reads ``features`` and ``latent``, ``(d, h, w)`` or ``(d,)``, where d is the size of a vector.
        stages: S, >= 1.
        codes: K, >= 1.
        update: ``ema``, running means, or ``loss``, gradients.
        decay: gamma of the running means, in [0, 1).
        revive: a code in use less than this share of the mean starts anew from the batch, in [0, 1); 0 for never.

    Raises:
        UsageError: an argument is out of range, or the grid of the features is not that of the latent.

    Source: Zeghidour et al., TASLP 2021 (arXiv 2107.03312), algorithm 1.
    """

    gives = ("commitment",)

    def __init__(
        self,
        shapes: Shapes,
        stages: int = 4,
        codes: int = 256,
        update: Literal["ema", "loss"] = "ema",
        decay: float = 0.99,
        revive: float = 0.1,
    ) -> None:
        if stages < 1:
            raise UsageError(f"posterior.stages={stages} must be >= 1")
        d = shapes.latent[0]
        super().__init__(shapes, d, codes, books=stages)
        self.stages: Any = nn.ModuleList(Codebook(codes, d, update, decay, revive) for _ in range(stages))

    def quantise(self, v: Tensor) -> Quantised:
        residual, total = v, torch.zeros_like(v)
        chosen, penalties = [], []
        for book in self.stages:
            codes = book(residual)
            e = book.look_up(codes)
            chosen.append(codes)
            penalties.append(book.penalties(residual, e))
            residual, total = residual - e.detach(), total + e
        return torch.stack(chosen, 1), total, summed(penalties)

    def look_up(self, codes: Tensor) -> Tensor:
        total = self.stages[0].look_up(codes[..., 0, :])
        for s, book in enumerate(self.stages[1:], 1):
            total = total + book.look_up(codes[..., s, :])
        return total

    def fit(self, h: Tensor) -> None:
        """k-means, stage by stage, over the residuals of features ``h [N, *features]``."""
        residual = self.rows(self.vectors(h)).flatten(0, 1)
        for book in self.stages:
            book.fit(residual)
            residual = residual - book.look_up(book.nearest(residual))


def summed(penalties: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The sum over codebooks of each penalty."""
    return {name: torch.stack([each[name] for each in penalties]).sum(0) for name in penalties[0]}
