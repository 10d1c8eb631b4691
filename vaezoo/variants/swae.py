"""The sliced Wasserstein autoencoder."""

from typing import Any

from vaezoo.aggregate import Aggregate
from vaezoo.batch import Batch
from vaezoo.errors import UsageError
from vaezoo.estimators import gathered, sliced_wasserstein
from vaezoo.registry import register
from vaezoo.schedules import Schedule
from vaezoo.terms import Terms


@register(
    paper="Kolouri et al., ICLR 2019, algorithm 1",
    url="https://arxiv.org/abs/1804.01947",
    family="divergence",
    defaults={"posterior": "point", "likelihood": "gaussian"},
    limits={"autoencoder": {"weight": 0.0}},
    latent=8,
    identities=(
        "test_limit_agrees",
        "test_sliced_wasserstein_of_a_sample_with_itself_is_zero",
        "test_sliced_wasserstein_of_shifted_gaussians_is_the_squared_shift_over_d",
    ),
)
class SWAE(Aggregate):
    r"""Reconstructs, and matches the codes of all data to the prior along random directions, by sorting.

    .. math:: \mathcal L = E\, c(x, G(z)) + \frac{\lambda}{L B} \sum_{l=1}^L \sum_{i=1}^B
              \left( (\theta_l \cdot z)_{(i)} - (\theta_l \cdot \tilde z)_{(i)} \right)^2,\quad \tilde z \sim p(z)

    It differs from WAE-MMD in the divergence alone, which needs no kernel and costs B log B. The directions are drawn
    anew for every batch of all processes; c is the distortion. The prior is given, not learned.

    Args:
        weight: lambda, >= 0, a number or a schedule.
        projections: L, >= 1.
        parts: the parts of :class:`~vaezoo.aggregate.Aggregate`.

    Raises:
        UsageError: the weight is negative, or there is no projection.

    Source: Kolouri et al., ICLR 2019 (arXiv 1804.01947), algorithm 1.
    """

    def __init__(self, weight: float | Schedule = 10.0, projections: int = 50, **parts: Any) -> None:
        super().__init__(**parts)
        if projections < 1:
            raise UsageError(f"variant.projections={projections} must be >= 1")
        self.weight, self.projections = Schedule.of(weight, minimum=0.0), projections

    def terms(self, batch: Batch) -> Terms:
        c = self.condition(batch)
        ((_, p, z),) = levels = self.latents(batch.x, c)
        codes = gathered(z)
        sliced = sliced_wasserstein(codes, p.sample((len(codes),)), self.projections)
        terms = self.matched(batch.x, c, levels, sliced_wasserstein=sliced)
        return terms.weighted(sliced_wasserstein=self.weight())
