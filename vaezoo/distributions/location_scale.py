"""What distributions of independent values with a location and a scale have in common."""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.types import _size


class LocationScale(Distribution):
    r"""Independent values :math:`x_i = \mu_i + s_i u_i`, with u_i from one symmetric unit distribution.

    .. math:: \log p(x) = \sum_i \log p_1\!\left(\frac{x_i - \mu_i}{s_i}\right) - \log s_i

    Args:
        mean: mu, ``[B, *event]``.
        log_scale: log s, any shape that broadcasts to that of ``mean``.
        event_dims: how many trailing dimensions form one event, >= 1.
    """

    arg_constraints: dict = {}  # type: ignore[assignment]
    has_rsample = True
    unit_variance: ClassVar[float]

    def __init__(self, mean: Tensor, log_scale: Tensor, event_dims: int = 1) -> None:
        self._mean, self.log_scale = mean, log_scale
        shape = mean.shape
        super().__init__(shape[:-event_dims], shape[-event_dims:], validate_args=False)

    @staticmethod
    @abstractmethod
    def unit_draws(shape: tuple[int, ...], like: Tensor, batch: int | None) -> Tensor:
        """Draws of u; the arguments are those of :func:`vaezoo.distributions.noise.normal`."""

    @staticmethod
    @abstractmethod
    def unit_log_prob(u: Tensor) -> Tensor:
        """log p_1(u) of each value."""

    @property
    def mean(self) -> Tensor:
        return self._mean

    @property
    def mode(self) -> Tensor:
        return self._mean

    @property
    def variance(self) -> Tensor:
        return self.unit_variance * (2 * self.log_scale).exp().expand_as(self._mean)

    def rsample(self, sample_shape: _size = ()) -> Tensor:
        batch = len(sample_shape) if self._batch_shape else None
        u = self.unit_draws((*sample_shape, *self._mean.shape), self._mean, batch)
        return torch.addcmul(self._mean, self.log_scale.exp(), u)  # [*sample_shape, B, *event]

    def log_prob(self, value: Tensor) -> Tensor:
        u = (value - self._mean) * torch.exp(-self.log_scale)
        each = self.unit_log_prob(u) - self.log_scale  # [..., B, *event]
        return each.sum(tuple(range(-len(self._event_shape), 0)))
