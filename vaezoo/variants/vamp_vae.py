"""The VAE with a variational mixture of posteriors as its prior."""

from typing import Any

from vaezoo.batch import Batch
from vaezoo.registry import register
from vaezoo.schedules import Schedule
from vaezoo.terms import Terms
from vaezoo.variational import Variational


@register(
    paper="Tomczak and Welling, AISTATS 2018, eq. 9",
    url="https://arxiv.org/abs/1705.07120",
    family="gaussian",
    defaults={"prior": "vamp"},
    limits={"vae": {"warmup": 0.0}},
    identities=("test_limit_agrees", "test_vamp_with_one_component_is_the_gaussian_divergence"),
)
class VampVAE(Variational):
    r"""Maximises the evidence lower bound under a prior made of the model's own posteriors at learned pseudo-inputs.

    .. math:: p(z) = \frac1K \sum_{k=1}^K q(z|u_k)

    The prior is the part ``prior=vamp``, which every variational variant can take; this variant is the paper's
    training protocol around it, with its warm-up. K and the pseudo-inputs are options of the prior.

    Args:
        warmup: share of training over which the weight of the rate rises from 0 to 1, in [0, 1].
        parts: the parts of :class:`~vaezoo.variational.Variational`.

    Raises:
        UsageError: warmup is not in [0, 1].

    Source: Tomczak and Welling, AISTATS 2018 (arXiv 1705.07120), eq. 9.
    """

    def __init__(self, warmup: float = 0.05, **parts: Any) -> None:
        super().__init__(**parts)
        self.warmup = Schedule.warmup(warmup)

    def terms(self, batch: Batch) -> Terms:
        return self.elbo(batch.x, self.condition(batch)).weighted(rate=self.warmup())
