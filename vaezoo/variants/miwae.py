"""The multiply importance-weighted autoencoder."""

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
    limits={"iwae": {"bounds": 1, "samples": 5}},
    identities=("test_limit_agrees", "test_miwae_of_single_samples_is_the_elbo_of_many"),
)
class MIWAE(Variational):
    r"""Averages M importance-weighted bounds of K samples each, for a steadier gradient of the encoder.

    .. math:: \mathcal L_{M,K} = \frac1M \sum_{m=1}^M \log \frac1K \sum_{k=1}^K w_{mk},\quad
              w_{mk} = \frac{p(x|z_{mk})\,p(z_{mk})}{q(z_{mk}|x)}

    One bound (M = 1) is the IWAE, single samples (K = 1) are the VAE with a rate sampled M times. The expectation is
    that of the IWAE with K samples. ``iw_bound`` is minus the average; distortion and rate are reported only.

    Args:
        bounds: M, how many bounds are averaged, >= 1.
        samples: K, samples in each bound, >= 1.
        parts: the parts of :class:`~vaezoo.variational.Variational`.

    Raises:
        UsageError: bounds or samples is below 1.

    Source: Rainforth et al., ICML 2018 (arXiv 1802.04537), section 5.
    """

    def __init__(self, bounds: int = 8, samples: int = 8, **parts: Any) -> None:
        super().__init__(**parts)
        if min(bounds, samples) < 1:
            raise UsageError(f"variant.bounds={bounds} and variant.samples={samples} must both be at least 1")
        self.bounds, self.samples = bounds, samples

    def terms(self, batch: Batch) -> Terms:
        weighed = self.weigh(batch.x, self.bounds * self.samples, self.condition(batch))  # [MK, B] each
        return importance_terms(*weighed, self.bounds)
