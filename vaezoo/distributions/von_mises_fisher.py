"""The von Mises-Fisher distribution on the unit sphere."""

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.types import _size

from vaezoo.distributions import noise
from vaezoo.distributions.polar_angle import PolarAngle, log_area


class VonMisesFisher(Distribution):
    r"""Unit vectors in R^m that prefer the direction mu; the density is with respect to the area of the sphere.

    .. math:: \log q(z) = \kappa\,\mu^T z + \log C_m(\kappa),\quad
              C_m(\kappa) = \frac{\kappa^{m/2-1}}{(2\pi)^{m/2} I_{m/2-1}(\kappa)}

    A sample is cos(theta) mu + sin(theta) v, with the angle of :class:`PolarAngle` and a uniform unit tangent v at mu.
    v follows mu by parallel transport: that is the derivative of a family of rotations that maps one mean direction to
    the other, so gradients are those of the expectation, and it is bounded and smooth at every mu, whereas the usual
    Householder reflection from the first axis is singular where mu is that axis.

    Args:
        direction: mu, unit vectors, ``[B, m]``, m >= 2.
        concentration: kappa > 0, ``[B]``.

    Source: Davidson et al., UAI 2018 (arXiv 1804.00891), sec. 3 and appendix A.
    """

    arg_constraints: dict = {}  # type: ignore[assignment]
    has_rsample = True

    def __init__(self, direction: Tensor, concentration: Tensor) -> None:
        self.direction, self.concentration = direction, concentration
        self.angle = PolarAngle(direction.shape[-1], concentration)
        self.log_peak = -self.angle.log_normaliser - log_area(direction.shape[-1] - 1)  # log q(mu), [B], double
        super().__init__(direction.shape[:-1], direction.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """E[z], inside the sphere: mu times the mean cosine, which is 0 where q is uniform."""
        return self.angle.mean_cosine.to(self.direction.dtype).unsqueeze(-1) * self.direction

    @property
    def mode(self) -> Tensor:
        return self.direction

    def rsample(self, sample_shape: _size = ()) -> Tensor:
        mu = self.direction.double()
        theta = self.angle.rsample(sample_shape).unsqueeze(-1)  # [*S, B, 1]
        batch = len(sample_shape) if self._batch_shape else None
        epsilon = noise.normal((*sample_shape, *self.direction.shape), self.direction, batch).double()
        at = mu.detach()
        tangent = epsilon - (epsilon * at).sum(-1, keepdim=True) * at
        tangent = tangent / torch.linalg.vector_norm(tangent, dim=-1, keepdim=True)
        tangent = tangent - (tangent * mu).sum(-1, keepdim=True) * at  # subtracts 0: parallel transport
        return (theta.cos() * mu + theta.sin() * tangent).to(self.direction.dtype)  # [*S, B, m]

    def log_prob(self, value: Tensor) -> Tensor:
        off = (value * self.direction).sum(-1) - 1
        return self.concentration * off + self.log_peak.to(off.dtype)
