"""The sparse autoencoder."""

from math import prod
from typing import Any, Literal

from torch import Tensor

from vaezoo.autoencoder import Autoencoder
from vaezoo.batch import Batch
from vaezoo.distributions.point_mass import PointMass
from vaezoo.errors import UsageError
from vaezoo.estimators import gathered
from vaezoo.registry import register
from vaezoo.schedules import Schedule
from vaezoo.terms import Terms

Penalty = Literal["kl", "l1", "top_k"]


@register(
    paper="Lee et al., NIPS 2007; Makhzani and Frey, ICLR 2014",
    url="https://arxiv.org/abs/1312.5663",
    family="deterministic",
    limits={"autoencoder": {"penalty": "l1", "weight": 0.0}},
    defaults={"likelihood": "gaussian"},
    latent=100,
    identities=("test_kl_sparsity_is_zero_at_the_target_only", "test_top_k_leaves_exactly_k_active"),
)
class SparseAutoencoder(Autoencoder):
    r"""Lets only few units of a (wide) code be active.

    .. math:: \mathcal L = -\log p(x|g(z)) + \lambda\,\Omega(z),\quad \Omega_{l1} = \sum_j |z_j|,\quad
              \Omega_{kl} = \sum_j \rho \log\frac{\rho}{\hat\rho_j} + (1-\rho) \log\frac{1-\rho}{1-\hat\rho_j}

    ``kl``: units are sigmoids; their means over the batch (of all processes), :math:`\hat\rho_j`, should be rho.
    ``l1``: on each example. ``top_k``: no penalty; in each example all but the k largest :math:`|z_j|` are set to 0.

    Args:
        penalty: ``kl``, ``l1`` or ``top_k``.
        weight: lambda, >= 0, a number or a schedule; unused by ``top_k``.
        rho: mean activation that ``kl`` aims at, in (0, 1).
        k: units that ``top_k`` leaves active, 1 to the size of the code.
        parts: the parts of :class:`~vaezoo.autoencoder.Autoencoder`.

    Raises:
        UsageError: an argument is out of range.

    Source: kl and its defaults: A. Ng, CS294A lecture notes (2011), section 3; top_k: Makhzani and Frey, ICLR 2014.
    """

    def __init__(
        self, penalty: Penalty = "kl", weight: float | Schedule = 3.0, rho: float = 0.05, k: int = 10, **parts: Any
    ) -> None:
        super().__init__(**parts)
        if not 0 < rho < 1:
            raise UsageError(f"variant.rho={rho} must be in (0, 1)")
        if penalty == "top_k" and not 1 <= k <= prod(self.shapes.latent):
            raise UsageError(f"variant.k={k} must be in 1..{prod(self.shapes.latent)}, the size of the code")
        self.penalty, self.rho, self.k, self.weight = penalty, rho, k, Schedule.of(weight, minimum=0.0)

    def q(self, x: Tensor, c: Tensor | None = None) -> PointMass:
        a = super().q(x, c).mean.flatten(1)
        if self.penalty == "kl":
            a = a.sigmoid()
        elif self.penalty == "top_k":
            a = a.new_zeros(a.shape).scatter(1, kept := a.abs().topk(self.k).indices, a.gather(1, kept))
        return PointMass(a.unflatten(1, self.shapes.latent), len(self.shapes.latent))

    def terms(self, batch: Batch) -> Terms:
        z = self.encode(batch.x, c := self.condition(batch))
        distortion = -self.decode(z, c).log_prob(batch.x)
        if self.penalty == "top_k":
            return Terms(distortion=distortion)
        sparsity = z.flatten(1).abs().sum(1) if self.penalty == "l1" else self.divergence(gathered(z).flatten(1))
        return Terms(distortion=distortion, sparsity=sparsity).weighted(sparsity=self.weight())

    def divergence(self, active: Tensor) -> Tensor:
        """Sum over units of KL(Bernoulli(rho) || Bernoulli(mean activation)), ``[]`` nats."""
        mean, rho = active.mean(0).clamp(1e-6, 1 - 1e-6), self.rho  # the logarithms stay finite
        return (rho * (rho / mean).log() + (1 - rho) * ((1 - rho) / (1 - mean)).log()).sum()
