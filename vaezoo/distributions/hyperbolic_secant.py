"""A hyperbolic secant distribution with independent components."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.types import _size

from vaezoo.distributions import noise


class HyperbolicSecant(Distribution):
    r"""Independent hyperbolic secant values with mean mu and scale s = 1/a.

    .. math:: p(x) = \prod_i \frac{1}{\pi s_i} \operatorname{sech} \frac{x_i - \mu_i}{s_i},\quad
              P(x_i \le t) = \frac2\pi \arctan \exp \frac{t - \mu_i}{s_i},\quad
              \operatorname{Var} x_i = \frac{\pi^2 s_i^2}{4}

    Args:
        mean: ``[B, *event]``.
        log_scale: log s, any shape that broadcasts to that of ``mean``.
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
        return (math.pi / 2) ** 2 * (2 * self.log_scale).exp().expand_as(self._mean)

    def rsample(self, sample_shape: _size = ()) -> Tensor:
        batch = len(sample_shape) if self._batch_shape else None
        u = noise.uniform((*sample_shape, *self._mean.shape), self._mean, batch)
        return self._mean + self.log_scale.exp() * torch.tan(0.5 * math.pi * u).log()

    def log_prob(self, value: Tensor) -> Tensor:
        t = (value - self._mean) * torch.exp(-self.log_scale)
        each = math.log(2 / math.pi) - torch.logaddexp(t, -t) - self.log_scale  # 2 cosh t = e^t + e^-t
        return each.sum(tuple(range(-len(self._event_shape), 0)))
