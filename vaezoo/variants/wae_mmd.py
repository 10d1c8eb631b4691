"""The Wasserstein autoencoder with maximum mean discrepancy."""

from math import prod
from typing import Any, Literal

from vaezoo.aggregate import Aggregate
from vaezoo.batch import Batch
from vaezoo.estimators import gathered, kernel_for, mmd_u
from vaezoo.registry import register
from vaezoo.schedules import Schedule
from vaezoo.terms import Terms


@register(
    paper="Tolstikhin et al., ICLR 2018, algorithm 2",
    url="https://arxiv.org/abs/1711.01558",
    family="divergence",
    defaults={"posterior": "point", "likelihood": "gaussian"},
    limits={"autoencoder": {"weight": 0.0}},
    latent=8,
    identities=("test_limit_agrees", "test_mmd_u_is_unbiased", "test_mmd_of_gaussians_is_its_closed_form"),
)
class WAEMMD(Aggregate):
    r"""Reconstructs, and matches the codes of all data, not those of each example, to the prior.

    .. math:: \mathcal L = E\, c(x, G(z)) + \lambda\, MMD^2(q(z), p(z))

    The encoder is deterministic: there is no rate and no bound on p(x), yet sampling from the prior works. With
    ``posterior=diagonal`` it is random, and the rate is reported. c is the distortion: for the paper's squared error
    take ``likelihood.scale=fixed likelihood.std=0.7071``; a learned scale weighs MMD less as the error falls. MMD is
    the unbiased estimate on the batch of all processes. The prior is given, not learned.

    Args:
        weight: lambda, >= 0, a number or a schedule.
        kernel: ``imq`` or ``rbf``; see :func:`~vaezoo.estimators.kernel_for`.
        std: s of the kernel's width, C = 2 d s^2, > 0; the prior's standard deviation.
        scales: factors of C whose kernels are summed, each > 0.
        parts: the parts of :class:`~vaezoo.aggregate.Aggregate`.

    Raises:
        UsageError: the weight is negative, the kernel is unknown or a scale is not positive.

    Source: Tolstikhin et al., ICLR 2018 (arXiv 1711.01558), eq. 4, algorithm 2, section 4.
    """

    def __init__(
        self,
        weight: float | Schedule = 10.0,
        kernel: Literal["imq", "rbf"] = "imq",
        std: float = 1.0,
        scales: tuple[float, ...] = (1.0,),
        **parts: Any,
    ) -> None:
        super().__init__(**parts)
        self.weight = Schedule.of(weight, minimum=0.0)
        self.kernel = kernel_for(kernel, prod(getattr(self.posterior, "event", self.shapes.latent)), std, scales)

    def terms(self, batch: Batch) -> Terms:
        c = self.condition(batch)
        ((_, p, z),) = levels = self.latents(batch.x, c)
        codes = gathered(z)
        mmd = mmd_u(codes, p.sample((len(codes),)), self.kernel)
        return self.matched(batch.x, c, levels, mmd=mmd).weighted(mmd=self.weight())
