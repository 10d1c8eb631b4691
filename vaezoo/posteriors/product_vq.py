"""Product quantisation."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from vaezoo.errors import UsageError
from vaezoo.networks.codebook import Codebook
from vaezoo.posteriors.quantizer import Quantised, Quantizer
from vaezoo.posteriors.residual_vq import summed
from vaezoo.registry import register
from vaezoo.shapes import Shapes


@register(
    paper="Jegou et al., TPAMI 2011, section II.B", url="https://doi.org/10.1109/TPAMI.2010.57", latent=(64, 4, 4)
)
class ProductVQPosterior(Quantizer):
    r"""Each vector is cut into G parts, and each part quantised with a codebook of its own.

    .. math:: v = (v^1, \dots, v^G),\quad z_g = \arg\min_k \|v^g - e^g_k\|,\quad e = (e^1_{z_1}, \dots, e^G_{z_G})

    As in residual quantisation G codebooks of K vectors reach K^G points, but no codebook depends on another.
    Penalties are summed over the parts. With one group this is vector quantisation.

    Args:
        shapes: reads ``features`` and ``latent``, ``(d, h, w)`` or ``(d,)``, where d is the size of a vector.
        groups: G, >= 1, which divides d.
        codes: K, >= 1.
        update: ``ema``, running means, or ``loss``, gradients.
        decay: gamma of the running means, in [0, 1).
        revive: a code in use less than this share of the mean starts anew from the batch, in [0, 1); 0 for never.

    Raises:
        UsageError: an argument is out of range, or the grid of the features is not that of the latent.

    Source: Jegou et al., TPAMI 33 (2011), section II.B.
    """

    gives = ("commitment",)

    def __init__(
        self,
        shapes: Shapes,
        groups: int = 4,
        codes: int = 256,
        update: Literal["ema", "loss"] = "ema",
        decay: float = 0.99,
        revive: float = 0.1,
    ) -> None:
        d = shapes.latent[0]
        if groups < 1 or d % groups:
            raise UsageError(f"posterior.groups={groups} must be >= 1 and divide the size {d} of a vector")
        super().__init__(shapes, d, codes, books=groups)
        self.groups: Any = nn.ModuleList(Codebook(codes, d // groups, update, decay, revive) for _ in range(groups))

    def quantise(self, v: Tensor) -> Quantised:
        parts = v.chunk(self.books, -1)  # G of [B, P, d / G]
        codes = [book(part) for book, part in zip(self.groups, parts, strict=True)]
        e = [book.look_up(each) for book, each in zip(self.groups, codes, strict=True)]
        penalties = [book.penalties(part, each) for book, part, each in zip(self.groups, parts, e, strict=True)]
        return torch.stack(codes, 1), torch.cat(e, -1), summed(penalties)

    def look_up(self, codes: Tensor) -> Tensor:
        return torch.cat([book.look_up(codes[..., g, :]) for g, book in enumerate(self.groups)], -1)

    def fit(self, h: Tensor) -> None:
        """k-means over each part of the vectors of features ``h [N, *features]``."""
        for book, part in zip(self.groups, self.rows(self.vectors(h)).chunk(self.books, -1), strict=True):
            book.fit(part)
