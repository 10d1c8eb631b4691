"""A Laplace distribution with independent components."""

import math

import torch
from torch import Tensor

from vaezoo.distributions import noise
from vaezoo.distributions.location_scale import LocationScale


class DiagonalLaplace(LocationScale):
    r"""Independent Laplace values with mean mu and scale b.

    .. math:: \log p(x) = -\sum_i \frac{|x_i - \mu_i|}{b_i} + \log 2 b_i

    Args:
        mean: ``[B, *event]``.
        log_scale: log b, any shape that broadcasts to that of ``mean``.
        event_dims: how many trailing dimensions form one event, >= 1.
    """

    unit_variance = 2.0

    @staticmethod
    def unit_draws(shape: tuple[int, ...], like: Tensor, batch: int | None) -> Tensor:
        u = noise.uniform(shape, like, batch)
        magnitude = -(2 * torch.minimum(u, 1 - u)).log()
        return magnitude.copysign(u - 0.5)

    @staticmethod
    def unit_log_prob(u: Tensor) -> Tensor:
        return -u.abs() - math.log(2)
