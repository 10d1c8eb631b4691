"""A normal distribution with independent components."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.types import _size

from vaezoo.distributions import noise


class DiagonalNormal(Distribution):
    r"""N(mean, diag(std^2)).

    .. math:: \log p(x) = -\sum_i \frac{(x_i - \mu_i)^2}{2 \sigma_i^2} + \log\sigma_i + \tfrac12\log 2\pi

    Args:
        mean: ``[B, *event]``.
        log_std: natural logarithm of the standard deviation, any shape that broadcasts to that of ``mean``.
        event_dims: how many trailing dimensions form one event, >= 1.
    """

    arg_constraints: dict = {}  # type: ignore[assignment]
    has_rsample = True

    def __init__(self, mean: Tensor, log_std: Tensor, event_dims: int = 1) -> None:
        self._mean, self.log_std = mean, log_std
        shape = mean.shape
        super().__init__(shape[:-event_dims], shape[-event_dims:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self._mean

    @property
    def mode(self) -> Tensor:
        return self._mean

    @property
    def stddev(self) -> Tensor:
        return self.log_std.exp().expand_as(self._mean)

    @property
    def variance(self) -> Tensor:
        return (2 * self.log_std).exp().expand_as(self._mean)

    def rsample(self, sample_shape: _size = ()) -> Tensor:
        batch = len(sample_shape) if self._batch_shape else None
        epsilon = noise.normal((*sample_shape, *self._mean.shape), self._mean, batch)
        return torch.addcmul(self._mean, self.log_std.exp(), epsilon)  # [*sample_shape, B, *event]

    def log_prob(self, value: Tensor) -> Tensor:
        scaled = (value - self._mean) * torch.exp(-self.log_std)
        each = -0.5 * scaled.square() - self.log_std - 0.5 * math.log(2 * math.pi)  # [..., B, *event]
        return each.sum(tuple(range(-len(self._event_shape), 0)))
