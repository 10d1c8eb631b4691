"""The uniform distribution on the unit sphere."""

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.types import _size

from vaezoo.distributions import noise
from vaezoo.distributions.polar_angle import log_area


class UniformSphere(Distribution):
    r"""Unit vectors in R^m without a preferred direction, without batch shape.

    .. math:: \log p(z) = -\log \frac{2\pi^{m/2}}{\Gamma(m/2)}

    Args:
        dimension: m of the ambient space, >= 2.
        like: gives dtype and device.
    """

    arg_constraints: dict = {}  # type: ignore[assignment]
    has_rsample = True

    def __init__(self, dimension: int, like: Tensor) -> None:
        self._like = like
        super().__init__(torch.Size(), torch.Size((dimension,)), validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self._like.new_zeros(self._event_shape)

    def rsample(self, sample_shape: _size = ()) -> Tensor:
        epsilon = noise.normal((*sample_shape, *self._event_shape), self._like)
        return epsilon / torch.linalg.vector_norm(epsilon, dim=-1, keepdim=True)

    def log_prob(self, value: Tensor) -> Tensor:
        return value.new_full(value.shape[:-1], -log_area(self._event_shape[0]))
