"""A normal distribution with full covariance."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.types import _size

from vaezoo.distributions import noise


class FullNormal(Distribution):
    r"""N(mean, L L^T) over vectors.

    .. math:: \log p(x) = -\tfrac12 \|L^{-1}(x - \mu)\|^2 - \sum_i \log L_{ii} - \tfrac{d}{2} \log 2\pi

    Args:
        mean: ``[B, d]`` or ``[d]``.
        scale_tril: L, ``[B, d, d]`` or ``[d, d]``, lower triangular with a positive diagonal.
    """

    arg_constraints: dict = {}  # type: ignore[assignment]
    has_rsample = True

    def __init__(self, mean: Tensor, scale_tril: Tensor) -> None:
        self._mean, self.scale_tril = mean, scale_tril
        super().__init__(mean.shape[:-1], mean.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self._mean

    @property
    def mode(self) -> Tensor:
        return self._mean

    @property
    def variance(self) -> Tensor:
        return self.scale_tril.square().sum(-1)

    @property
    def stddev(self) -> Tensor:
        return self.variance.sqrt()

    @property
    def half_log_det(self) -> Tensor:
        """Half the log determinant of the covariance, ``[B]``."""
        return self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def rsample(self, sample_shape: _size = ()) -> Tensor:
        batch = len(sample_shape) if self._batch_shape else None
        epsilon = noise.normal((*sample_shape, *self._mean.shape), self._mean, batch)
        return self._mean + (self.scale_tril * epsilon.unsqueeze(-2)).sum(-1)  # [*sample_shape, B, d]

    def log_prob(self, value: Tensor) -> Tensor:
        difference = value - self._mean  # [*S, B, d]
        columns = difference.reshape(-1, *self._mean.shape).movedim(0, -1)  # [B, d, S]: one solve for all samples
        whitened = torch.linalg.solve_triangular(self.scale_tril, columns, upper=False)
        squares = whitened.square().sum(-2).movedim(-1, 0).reshape(difference.shape[:-1])  # [*S, B]
        return -0.5 * (squares + self._mean.shape[-1] * math.log(2 * math.pi)) - self.half_log_det
