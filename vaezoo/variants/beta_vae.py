"""The beta-VAE."""

from typing import Any

from vaezoo.batch import Batch
from vaezoo.registry import register
from vaezoo.schedules import Schedule
from vaezoo.terms import Terms
from vaezoo.variational import Variational


@register(
    paper="Higgins et al., ICLR 2017, eq. 4",
    url="https://openreview.net/forum?id=Sy2fzU9gl",
    family="gaussian",
    limits={"vae": {"beta": 1.0}},
    identities=("test_limit_agrees", "test_beta_zero_optimises_the_distortion_alone"),
)
class BetaVAE(Variational):
    r"""Weighs the rate more (or less) than the evidence bound does, for a more factorised (or a fuller) code.

    .. math:: \mathcal L = -E_{q(z|x)} \log p(x|z) + \beta\, KL(q(z|x)\,\|\,p(z))

    It differs from a VAE in the weight alone; a schedule for beta is the KL warm-up of other papers.

    Args:
        beta: weight of the rate, >= 0; a number or a schedule such as ``{linear:{start:0,end:1,until:0.1}}``.
        parts: the parts of :class:`~vaezoo.variational.Variational`.

    Raises:
        UsageError: beta is negative.

    Source: Higgins et al., ICLR 2017, eq. 4.
    """

    def __init__(self, beta: float | Schedule = 4.0, **parts: Any) -> None:
        super().__init__(**parts)
        self.beta = Schedule.of(beta, minimum=0.0)

    def terms(self, batch: Batch) -> Terms:
        return self.elbo(batch.x, self.condition(batch)).weighted(rate=self.beta())
