"""A normal distribution with independent components."""

import math

from torch import Tensor

from vaezoo.distributions import noise
from vaezoo.distributions.location_scale import LocationScale


class DiagonalNormal(LocationScale):
    r"""N(mean, diag(std^2)).

    .. math:: \log p(x) = -\sum_i \frac{(x_i - \mu_i)^2}{2 \sigma_i^2} + \log\sigma_i + \tfrac12\log 2\pi

    Args:
        mean: ``[B, *event]``.
        log_std: natural logarithm of the standard deviation, any shape that broadcasts to that of ``mean``.
        event_dims: how many trailing dimensions form one event, >= 1.
    """

    unit_variance = 1.0

    def __init__(self, mean: Tensor, log_std: Tensor, event_dims: int = 1) -> None:
        super().__init__(mean, log_std, event_dims)

    @property
    def log_std(self) -> Tensor:
        """Natural logarithm of the standard deviation."""
        return self.log_scale

    @property
    def stddev(self) -> Tensor:
        return self.log_std.exp().expand_as(self._mean)

    @staticmethod
    def unit_draws(shape: tuple[int, ...], like: Tensor, batch: int | None) -> Tensor:
        return noise.normal(shape, like, batch)

    @staticmethod
    def unit_log_prob(u: Tensor) -> Tensor:
        return -0.5 * u.square() - 0.5 * math.log(2 * math.pi)
