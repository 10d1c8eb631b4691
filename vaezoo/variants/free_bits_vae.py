"""The VAE with free bits."""

from typing import Any

from vaezoo.batch import Batch
from vaezoo.errors import UsageError
from vaezoo.estimators import gathered, rate
from vaezoo.registry import register
from vaezoo.terms import Terms
from vaezoo.variational import Variational


@register(
    paper="Kingma et al., NeurIPS 2016, appendix C.8",
    url="https://arxiv.org/abs/1606.04934",
    family="gaussian",
    limits={"vae": {"free": 0.0}},
    requires=("factorised",),
    identities=("test_limit_agrees", "test_free_bits_is_the_sum_of_the_greater_of_lambda_and_the_mean_rate"),
)
class FreeBitsVAE(Variational):
    r"""Lets every latent dimension carry lambda nats at no cost, so that none is switched off early in training.

    .. math:: \mathcal L = -E_{q(z|x)} \log p(x|z) +
              \sum_j \max\left(\lambda,\ \overline{KL}(q(z_j|x)\,\|\,p(z_j))\right)

    The bar is the mean over the batch, on all processes, so this term couples the batch. A dimension below lambda has
    no gradient. Every entry of a grid latent is a dimension of its own. ``rate`` is reported only.

    Args:
        free: lambda, nats per dimension, >= 0; the paper tries 0.125 to 8 per group of dimensions.
        parts: the parts of :class:`~vaezoo.variational.Variational`.

    Raises:
        UsageError: free is negative.

    Source: Kingma et al., NeurIPS 2016 (arXiv 1606.04934), appendix C.8.
    """

    def __init__(self, free: float = 0.25, **parts: Any) -> None:
        super().__init__(**parts)
        if free < 0:
            raise UsageError(f"variant.free={free} must be at least 0 nats per dimension")
        self.free = free

    def terms(self, batch: Batch) -> Terms:
        c = self.condition(batch)
        (latent,) = self.latents(batch.x, c)
        rates = rate(*latent, per_dim=True)  # [B, *latent]
        free_bits = gathered(rates).mean(0).clamp(min=self.free).sum()
        distortion = -self.decode(latent.z, c).log_prob(batch.x)
        return Terms(distortion=distortion, rate=rates.flatten(1).sum(1), free_bits=free_bits).weighted(rate=0.0)
