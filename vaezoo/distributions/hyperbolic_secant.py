"""A hyperbolic secant distribution with independent components."""

import math

import torch
from torch import Tensor

from vaezoo.distributions import noise
from vaezoo.distributions.location_scale import LocationScale


class HyperbolicSecant(LocationScale):
    r"""Independent hyperbolic secant values with mean mu and scale s = 1/a.

    .. math:: p(x) = \prod_i \frac{1}{\pi s_i} \operatorname{sech} \frac{x_i - \mu_i}{s_i},\quad
              P(x_i \le t) = \frac2\pi \arctan \exp \frac{t - \mu_i}{s_i},\quad
              \operatorname{Var} x_i = \frac{\pi^2 s_i^2}{4}

    Args:
        mean: ``[B, *event]``.
        log_scale: log s, any shape that broadcasts to that of ``mean``.
        event_dims: how many trailing dimensions form one event, >= 1.
    """

    unit_variance = (math.pi / 2) ** 2

    @staticmethod
    def unit_draws(shape: tuple[int, ...], like: Tensor, batch: int | None) -> Tensor:
        return torch.tan(0.5 * math.pi * noise.uniform(shape, like, batch)).log()

    @staticmethod
    def unit_log_prob(u: Tensor) -> Tensor:
        return math.log(2 / math.pi) - torch.logaddexp(u, -u)  # 2 cosh u = e^u + e^-u
