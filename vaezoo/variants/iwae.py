"""The importance-weighted autoencoder."""

from typing import Any

from vaezoo.batch import Batch
from vaezoo.errors import UsageError
from vaezoo.estimators import importance_terms
from vaezoo.registry import register
from vaezoo.terms import Terms
from vaezoo.variational import Variational


@register(
    paper="Burda et al., ICLR 2016, eq. 8",
    url="https://arxiv.org/abs/1509.00519",
    family="importance",
    identities=(
        "test_iwae_bound_increases_with_k_to_the_evidence",
        "test_iwae_with_one_sample_is_the_sampled_elbo",
        "test_iwae_gradient_weighs_the_samples_by_their_detached_softmax",
    ),
)
class IWAE(Variational):
    r"""Maximises a bound from K weighted samples, which is tighter than the evidence bound for every K > 1.

    .. math:: \mathcal L_K = E \log \frac1K \sum_{k=1}^K w_k,\quad
              w_k = \frac{p(x|z_k)\,p(z_k)}{q(z_k|x)},\quad z_k \sim q(z|x)

    One sample gives the VAE with a sampled rate. The bound grows with K towards log p(x). ``iw_bound`` is minus
    :math:`\mathcal L_K`, an upper bound on the NLL; distortion and rate are means over the samples, reported only.

    Args:
        samples: K, >= 1; the paper takes 5 and 50.
        parts: the parts of :class:`~vaezoo.variational.Variational`.

    Raises:
        UsageError: samples is below 1.

    Source: Burda et al., ICLR 2016 (arXiv 1509.00519), eq. 8.
    """

    def __init__(self, samples: int = 5, **parts: Any) -> None:
        super().__init__(**parts)
        if samples < 1:
            raise UsageError(f"variant.samples={samples} must be at least 1")
        self.samples = samples

    def terms(self, batch: Batch) -> Terms:
        return importance_terms(*self.weigh(batch.x, self.samples, self.condition(batch)))
