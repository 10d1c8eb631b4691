"""The VAE with product quantisation."""

from typing import Any

from vaezoo.batch import Batch
from vaezoo.discrete import Discrete
from vaezoo.registry import register
from vaezoo.schedules import Schedule
from vaezoo.terms import Terms


@register(
    paper="Kaiser et al., ICML 2018, sliced vector quantization",
    url="https://arxiv.org/abs/1803.03382",
    family="discrete",
    defaults={"encoder": "conv", "decoder": "conv", "posterior": "product_vq", "prior": "pixelcnn"},
    identities=("test_one_product_group_is_vector_quantisation",),
)
class ProductVQVAE(Discrete):
    r"""Cuts each vector of the encoder into parts and gives every part a codebook of its own.

    .. math:: \mathcal L = -\log p(x|e) + \beta \sum_g \|v^g - \mathrm{sg}[e^g]\|^2,\quad
              e = (e^1, \dots, e^G),\ e^g = \arg\min_{e^g_k} \|v^g - e^g_k\|

    It differs from a VQ-VAE in the posterior: G groups of K codes reach K^G points, and small codebooks suffer less
    from codes that are never chosen. Unlike residual stages the groups are searched side by side.

    Args:
        beta: weight of the commitment, >= 0.
        prior_share: share of the epochs for the prior, relative to 1 for all else, > 0.
        parts: the parts of :class:`~vaezoo.discrete.Discrete`.

    Raises:
        UsageError: beta is negative, or prior_share is not positive.

    Source: Kaiser et al., ICML 2018 (arXiv 1803.03382), sliced vector quantisation.
    """

    weighs = ("commitment",)

    def __init__(self, beta: float | Schedule = 0.25, prior_share: float = 0.5, **parts: Any) -> None:
        super().__init__(prior_share=prior_share, **parts)
        self.beta = Schedule.of(beta, minimum=0.0)

    def terms(self, batch: Batch) -> Terms:
        return super().terms(batch).weighted(commitment=self.beta())
