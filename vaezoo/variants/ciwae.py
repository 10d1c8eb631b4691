"""The combination of the importance-weighted and the plain evidence bound."""

from typing import Any

from vaezoo.batch import Batch
from vaezoo.errors import UsageError
from vaezoo.estimators import importance_terms
from vaezoo.registry import register
from vaezoo.terms import Terms
from vaezoo.variational import Variational


@register(
    paper="Rainforth et al., ICML 2018, section 5",
    url="https://arxiv.org/abs/1802.04537",
    family="importance",
    limits={"iwae": {"beta": 0.0}},
    identities=("test_limit_agrees", "test_ciwae_at_beta_one_is_the_vae_with_a_sampled_rate"),
)
class CIWAE(Variational):
    r"""Maximises a convex combination of the evidence bound and the importance-weighted bound on the same samples.

    .. math:: \beta\, \frac1K \sum_{k=1}^K \log w_k + (1 - \beta) \log \frac1K \sum_{k=1}^K w_k,\quad
              w_k = \frac{p(x|z_k)\,p(z_k)}{q(z_k|x)}

    beta = 0 is the IWAE, beta = 1 the VAE with a rate sampled K times, whatever closed form there is. ``iw_bound`` is
    minus the second bound; distortion and rate, minus the first, are means over the samples.

    Args:
        beta: weight of the evidence bound, in [0, 1].
        samples: K, >= 1; the paper takes 64.
        parts: the parts of :class:`~vaezoo.variational.Variational`.

    Raises:
        UsageError: beta is not in [0, 1] or samples is below 1.

    Source: Rainforth et al., ICML 2018 (arXiv 1802.04537), section 5.
    """

    def __init__(self, beta: float = 0.5, samples: int = 5, **parts: Any) -> None:
        super().__init__(**parts)
        if not 0 <= beta <= 1:
            raise UsageError(f"variant.beta={beta} must be in [0, 1]: the share of the evidence bound")
        if samples < 1:
            raise UsageError(f"variant.samples={samples} must be at least 1")
        self.beta, self.samples = beta, samples

    def terms(self, batch: Batch) -> Terms:
        terms = importance_terms(*self.weigh(batch.x, self.samples, self.condition(batch)))
        return terms.weighted(distortion=self.beta, rate=self.beta, iw_bound=1 - self.beta)
