"""The VAE with the log-cosh loss."""

from typing import Any

from vaezoo.batch import Batch
from vaezoo.registry import register
from vaezoo.schedules import Schedule
from vaezoo.terms import Terms
from vaezoo.variational import Variational


@register(
    paper="Chen et al., ICLR 2019 submission",
    url="https://openreview.net/forum?id=rkglvsC9Ym",
    family="gaussian",
    defaults={"likelihood": "log_cosh"},
    limits={"vae": {"beta": 1.0}},
    identities=("test_limit_agrees", "test_log_cosh_loss_of_the_paper_is_that_of_beta_a"),
)
class LogCoshVAE(Variational):
    r"""Measures the reconstruction by log cosh: quadratic near the target, absolute far from it.

    .. math:: \mathcal L = E_{q(z|x)} \sum_i \log\cosh(a\,(x_i - \mu_i)) + \log\frac\pi a
              + \beta\, KL(q(z|x)\,\|\,p(z))

    The loss is the part ``likelihood=log_cosh``, a density which every variant can take; a is its option. The paper
    minimises :math:`\frac1a \sum_i \log\cosh(a\,(x_i - \mu_i)) + KL`: that is beta = a here, divided by a.

    Args:
        beta: weight of the rate, >= 0; 1 is the evidence bound, a the paper's objective; a number or a schedule.
        parts: the parts of :class:`~vaezoo.variational.Variational`.

    Raises:
        UsageError: beta is negative.

    Source: Chen et al., "Log hyperbolic cosine loss improves variational auto-encoder", 2018.
    """

    def __init__(self, beta: float | Schedule = 1.0, **parts: Any) -> None:
        super().__init__(**parts)
        self.beta = Schedule.of(beta, minimum=0.0)

    def terms(self, batch: Batch) -> Terms:
        return self.elbo(batch.x, self.condition(batch)).weighted(rate=self.beta())
