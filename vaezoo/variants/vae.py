"""The variational autoencoder."""

from typing import Any

from vaezoo.batch import Batch
from vaezoo.registry import register
from vaezoo.schedules import Schedule
from vaezoo.terms import Terms
from vaezoo.variational import Variational


@register(
    paper="Kingma and Welling, ICLR 2014, eq. 3",
    url="https://arxiv.org/abs/1312.6114",
    family="gaussian",
    reproduces=("vae_mnist",),
    identities=("test_elbo_is_the_evidence_at_the_exact_posterior", "test_elbo_never_exceeds_the_evidence"),
)
class VAE(Variational):
    r"""Maximises the evidence lower bound with a reparameterised, amortised posterior.

    .. math:: \mathcal L = -E_{q(z|x)} \log p(x|z) + KL(q(z|x)\,\|\,p(z))

    Posterior, prior and likelihood are parts; with their defaults this is the model of the paper.

    Args:
        warmup: share of training over which the weight of the rate rises from 0 to 1, in [0, 1]; 0 as in the paper.
        parts: the parts of :class:`~vaezoo.variational.Variational`.

    Raises:
        UsageError: warmup is not in [0, 1].

    Source: Kingma and Welling, ICLR 2014 (arXiv 1312.6114), eq. 3.
    """

    def __init__(self, warmup: float = 0.0, **parts: Any) -> None:
        super().__init__(**parts)
        self.warmup = Schedule.warmup(warmup)

    def terms(self, batch: Batch) -> Terms:
        return self.elbo(batch.x, self.condition(batch)).weighted(rate=self.warmup())
