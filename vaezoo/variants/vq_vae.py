"""The vector-quantised variational autoencoder."""

from typing import Any

from vaezoo.batch import Batch
from vaezoo.discrete import Discrete
from vaezoo.registry import register
from vaezoo.schedules import Schedule
from vaezoo.terms import Terms


@register(
    paper="van den Oord et al., NeurIPS 2017, eq. 3",
    url="https://arxiv.org/abs/1711.00937",
    family="discrete",
    defaults={"encoder": "conv", "decoder": "conv", "posterior": "vq", "prior": "pixelcnn"},
    identities=("test_straight_through_is_the_embedding_with_the_gradient_of_the_vector",),
)
class VQVAE(Discrete):
    r"""Replaces each vector of the encoder by the nearest one of a codebook, then learns a prior of the codes.

    .. math:: \mathcal L = -\log p(x|e) + \|\mathrm{sg}[v] - e\|^2 + \beta\, \|v - \mathrm{sg}[e]\|^2,\quad
              e = e_{z(x)},\ z(x) = \arg\min_k \|v(x) - e_k\|

    The gradient of the first term passes e as if it was v. By default running means take the place of the second term,
    the paper's appendix A.1 (``posterior.update=loss`` for the term itself). Norms are averaged over the positions.

    Args:
        beta: weight of the commitment, the third term, >= 0.
        prior_share: share of the epochs for the prior, relative to 1 for all else, > 0.
        parts: the parts of :class:`~vaezoo.discrete.Discrete`.

    Raises:
        UsageError: beta is negative, or prior_share is not positive.

    Source: van den Oord et al., NeurIPS 2017 (arXiv 1711.00937), eq. 3.
    """

    weighs = ("commitment",)

    def __init__(self, beta: float | Schedule = 0.25, prior_share: float = 0.5, **parts: Any) -> None:
        super().__init__(prior_share=prior_share, **parts)
        self.beta = Schedule.of(beta, minimum=0.0)

    def terms(self, batch: Batch) -> Terms:
        return super().terms(batch).weighted(commitment=self.beta())
