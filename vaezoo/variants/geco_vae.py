"""The VAE that minimises the rate under a constraint on the distortion."""

from math import prod
from typing import Any

import torch
from torch import Tensor

from vaezoo.batch import Batch
from vaezoo.errors import UsageError
from vaezoo.estimators import gathered, rate
from vaezoo.linear import linear_model
from vaezoo.registry import register
from vaezoo.terms import Terms
from vaezoo.variational import Variational

LARGEST = 20.0  # bound of |log multiplier|


@register(
    paper="Rezende and Viola, 2018, algorithm 1",
    url="https://arxiv.org/abs/1810.00597",
    family="gaussian",
    limits={"vae": {"step": 0.0}},
    identities=("test_limit_agrees", "test_geco_multiplier_follows_the_constraint", "test_geco_multiplier_only_moves"),
)
class GecoVAE(Variational):
    r"""Weighs the distortion so that the squared error of the reconstruction meets a tolerance.

    .. math:: \mathcal L = KL(q(z|x)\,\|\,p(z)) - \lambda\, E_{q(z|x)} \log p(x|z),\quad
              \lambda \leftarrow \lambda\, e^{\eta \bar C},\quad
              \bar C \leftarrow \alpha \bar C + (1 - \alpha) \left(\frac{\|x - \hat x\|^2}{D \kappa^2} - 1\right)

    A beta-VAE of beta = 1 / lambda that finds its own beta. Lambda starts at 1, the VAE; it moves after each training
    batch, not by a gradient: up while the error is above the tolerance, down while there is room. For a Gaussian of
    fixed scale this is the paper's Lagrangian. The losses of two moments are not comparable, for lambda differs.

    Args:
        tolerance: kappa, root mean squared error per value that is good enough, in the unit of x, > 0. None: that of
            the best linear VAE of the data with as many latents, see :func:`~vaezoo.linear.linear_model`.
        step: eta, >= 0; 0 holds lambda.
        momentum: alpha of the moving average of the constraint, in [0, 1).
        parts: the parts of :class:`~vaezoo.variational.Variational`.

    Raises:
        UsageError: tolerance is not positive, step is negative, or momentum not in [0, 1).

    Source: Rezende and Viola, 2018 (arXiv 1810.00597), algorithm 1.
    """

    log_multiplier: Tensor
    constraint: Tensor  # moving average
    moves: Tensor
    linear_std: Tensor  # before training starts 1

    def __init__(
        self, tolerance: float | None = None, step: float = 0.001, momentum: float = 0.99, **parts: Any
    ) -> None:
        super().__init__(**parts)
        if (tolerance is not None and tolerance <= 0) or step < 0:
            raise UsageError(f"variant.tolerance={tolerance} must be positive and variant.step={step} at least 0")
        if not 0 <= momentum < 1:
            raise UsageError(f"variant.momentum={momentum} must be in [0, 1)")
        self.tolerance, self.step, self.momentum = tolerance, step, momentum
        for name in ("log_multiplier", "constraint", "moves"):
            self.register_buffer(name, torch.zeros(()))
        self.register_buffer("linear_std", torch.ones(()))

    def start(self, x: Tensor) -> None:
        super().start(x)
        self.linear_std.fill_(linear_model(x, prod(self.shapes.latent)).std)

    def terms(self, batch: Batch) -> Terms:
        c = self.condition(batch)
        (latent,) = self.latents(batch.x, c)
        px = self.decode(latent.z, c)
        if self.training:
            error = (batch.x - px.mean.detach()).flatten(1).square().mean(1)  # [B]
            tolerance = self.linear_std if self.tolerance is None else self.tolerance
            self.seen = gathered(error).mean() / tolerance**2 - 1
        terms = Terms(distortion=-px.log_prob(batch.x), rate=rate(*latent))
        return terms.weighted(distortion=self.log_multiplier.exp())

    @torch.no_grad()
    def move(self) -> None:
        """One step of the moving average, and of lambda along it; the first batches are averaged evenly."""
        self.moves += 1
        self.constraint.lerp_(self.seen, (1 / self.moves).clamp(min=1 - self.momentum))
        self.log_multiplier.add_(self.step * self.constraint).clamp_(-LARGEST, LARGEST)
