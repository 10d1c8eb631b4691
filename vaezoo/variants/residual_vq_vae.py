"""The VAE with residual vector quantisation."""

from typing import Any

from vaezoo.batch import Batch
from vaezoo.discrete import Discrete
from vaezoo.registry import register
from vaezoo.schedules import Schedule
from vaezoo.terms import Terms


@register(
    paper="Lee et al., CVPR 2022, section 3.1",
    url="https://arxiv.org/abs/2203.01941",
    family="discrete",
    defaults={"encoder": "conv", "decoder": "conv", "posterior": "residual_vq", "prior": "pixelcnn"},
    identities=("test_one_residual_stage_is_vector_quantisation", "test_residuals_shrink_where_zero_is_a_code"),
)
class ResidualVQVAE(Discrete):
    r"""Describes each vector of the encoder by a sum of codes, each of which corrects the sum of those before it.

    .. math:: \mathcal L = -\log p(x|e) + \beta \sum_s \|r_{s-1} - \mathrm{sg}[e^s]\|^2,\quad
              r_0 = v,\ r_s = r_{s-1} - e^s,\ e = \sum_s e^s

    It differs from a VQ-VAE in the posterior: S stages of K codes reach K^S points at the cost of S searches. The
    prior draws a map of codes per stage, coarse ones first.

    Args:
        beta: weight of the commitment, >= 0.
        prior_share: share of the epochs for the prior, relative to 1 for all else, > 0.
        parts: the parts of :class:`~vaezoo.discrete.Discrete`.

    Raises:
        UsageError: beta is negative, or prior_share is not positive.

    Source: Lee et al., CVPR 2022 (arXiv 2203.01941), section 3.1.
    """

    weighs = ("commitment",)

    def __init__(self, beta: float | Schedule = 0.25, prior_share: float = 0.5, **parts: Any) -> None:
        super().__init__(prior_share=prior_share, **parts)
        self.beta = Schedule.of(beta, minimum=0.0)

    def terms(self, batch: Batch) -> Terms:
        return super().terms(batch).weighted(commitment=self.beta())
