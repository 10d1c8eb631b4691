"""A normal distribution wrapped around the Poincare ball."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.types import _size

from vaezoo.distributions import noise
from vaezoo.distributions.poincare_ball import exp_centre, inside, log_centre, mobius_add


class WrappedNormal(Distribution):
    r"""Points of the ball of curvature -c, reached from mu by geodesics whose initial velocity is normal.

    .. math:: z = \exp_\mu(v / \lambda_\mu),\; v \sim \mathcal N(0, \mathrm{diag}\,\sigma^2),\quad
              \log q(z) = \log \mathcal N(v; 0, \sigma^2) + (d-1) \log\frac{\sqrt c\,r}{\sinh \sqrt c\,r}

    with :math:`v = \lambda_\mu \log_\mu z` and :math:`r = |v| = d_c(\mu, z)`. In terms of the maps at the centre,
    :math:`z = \mu \oplus \tau(v)`. The density is with respect to the Riemannian volume. As c -> 0, z is normal with
    mean mu and covariance diag(sigma^2) / 4, for distances are twice those of the coordinates.

    Args:
        mean: mu, ``[B, d]`` or ``[d]``, points with |mu| < 1 / sqrt(c).
        log_std: natural logarithms of sigma, of the same shape.
        curvature: c > 0.

    Source: Mathieu et al., NeurIPS 2019 (arXiv 1901.06033), sec. 3.1.
    """

    arg_constraints: dict = {}  # type: ignore[assignment]
    has_rsample = True

    def __init__(self, mean: Tensor, log_std: Tensor, curvature: float) -> None:
        self._mean, self.log_std, self.curvature = mean, log_std, curvature
        super().__init__(mean.shape[:-1], mean.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """mu, the mean in the sense of the ball's distance (that of the coordinates is another point)."""
        return self._mean

    @property
    def mode(self) -> Tensor:
        return self._mean

    def rsample(self, sample_shape: _size = ()) -> Tensor:
        batch = len(sample_shape) if self._batch_shape else None
        v = self.log_std.exp() * noise.normal((*sample_shape, *self._mean.shape), self._mean, batch)
        z = mobius_add(self._mean.double(), exp_centre(v.double(), self.curvature), self.curvature)
        return inside(z, self.curvature).to(self._mean.dtype)  # [*sample_shape, B, d]

    def log_prob(self, value: Tensor) -> Tensor:
        c, log_std = self.curvature, self.log_std.double()
        v = log_centre(mobius_add(-self._mean.double(), value.double(), c), c)
        normal = -0.5 * (v * torch.exp(-log_std)).square() - log_std - 0.5 * math.log(2 * math.pi)
        r = (c * v.square().sum(-1)).clamp(min=1e-20).sqrt()
        log_sinh = r + torch.log(-torch.expm1(-2 * r)) - math.log(2)
        return (normal.sum(-1) + (v.shape[-1] - 1) * (r.log() - log_sinh)).to(value.dtype)
