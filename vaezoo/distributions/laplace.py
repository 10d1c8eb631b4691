"""A Laplace distribution with independent components."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.types import _size

from vaezoo.distributions import noise


class DiagonalLaplace(Distribution):
    r"""Independent Laplace values with mean mu and scale b.

    .. math:: \log p(x) = -\sum_i \frac{|x_i - \mu_i|}{b_i} + \log 2 b_i

    Args:
        mean: ``[B, *event]``.
        log_scale: log b, any shape that broadcasts to that of ``mean``.
        event_dims: how many trailing dimensions form one event, >= 1.
    """

    arg_constraints: dict = {}  # type: ignore[assignment]
    has_rsample = True

    def __init__(self, mean: Tensor, log_scale: Tensor, event_dims: int = 1) -> None:
        self._mean, self.log_scale = mean, log_scale
        super().__init__(mean.shape[:-event_dims], mean.shape[-event_dims:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self._mean

    @property
    def mode(self) -> Tensor:
        return self._mean

    @property
    def variance(self) -> Tensor:
        return 2 * (2 * self.log_scale).exp().expand_as(self._mean)

    def rsample(self, sample_shape: _size = ()) -> Tensor:
        batch = len(sample_shape) if self._batch_shape else None
        u = noise.uniform((*sample_shape, *self._mean.shape), self._mean, batch)
        magnitude = -(2 * torch.minimum(u, 1 - u)).log()
        return self._mean + self.log_scale.exp() * magnitude.copysign(u - 0.5)

    def log_prob(self, value: Tensor) -> Tensor:
        each = -(value - self._mean).abs() * torch.exp(-self.log_scale) - self.log_scale - math.log(2)
        return each.sum(tuple(range(-len(self._event_shape), 0)))
