"""Vector quantisation."""

from typing import Literal

from torch import Tensor

from vaezoo.networks.codebook import Codebook
from vaezoo.posteriors.quantizer import Quantised, Quantizer
from vaezoo.registry import register
from vaezoo.shapes import Shapes


@register(paper="van den Oord et al., NeurIPS 2017, eq. 1", url="https://arxiv.org/abs/1711.00937", latent=(64, 4, 4))
class VQPosterior(Quantizer):
    r"""Each vector becomes the nearest of K learned ones, :math:`z(x) = \arg\min_k \|v(x) - e_k\|`.

    The codebook starts from k-means (k-means++) over training data. How it moves is described in
    :class:`~vaezoo.networks.codebook.Codebook`.

    Args:
        shapes: reads ``features`` and ``latent``, ``(d, h, w)`` or ``(d,)``, where d is the size of a vector.
        codes: K, >= 1.
        update: ``ema``, running means (the paper's appendix A.1), or ``loss``, gradients (its eq. 3).
        decay: gamma of the running means, in [0, 1).
        revive: a code in use less than this share of the mean starts anew from the batch, in [0, 1); 0 for never.

    Raises:
        UsageError: an argument is out of range, or the grid of the features is not that of the latent.

    Source: van den Oord et al., NeurIPS 2017 (arXiv 1711.00937), eq. 1.
    """

    gives = ("commitment",)

    def __init__(
        self,
        shapes: Shapes,
        codes: int = 512,
        update: Literal["ema", "loss"] = "ema",
        decay: float = 0.99,
        revive: float = 0.1,
    ) -> None:
        super().__init__(shapes, shapes.latent[0], codes)
        self.book = Codebook(codes, shapes.latent[0], update, decay, revive)

    def quantise(self, v: Tensor) -> Quantised:
        codes = self.book(v)
        e = self.book.look_up(codes)
        return codes.unsqueeze(1), e, self.book.penalties(v, e)

    def look_up(self, codes: Tensor) -> Tensor:
        return self.book.look_up(codes.squeeze(-2))

    def fit(self, h: Tensor) -> None:
        """k-means over the vectors of features ``h [N, *features]``."""
        self.book.fit(self.rows(self.vectors(h)))
