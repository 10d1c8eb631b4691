"""Independent values in [0, 1] with a tilted uniform density."""

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.types import _size

from vaezoo.distributions import noise

SERIES = 0.25  # below this |t| a Taylor series in t; its first neglected term is below 4e-10


class ContinuousBernoulliLogits(Distribution):
    r"""Independent continuous Bernoulli values with logits a, :math:`\lambda = \sigma(a)`.

    .. math:: \log p(x) = \sum_i x_i \log\lambda_i + (1 - x_i) \log(1 - \lambda_i) + \log C(\lambda_i)
        = \sum_i (x_i - \tfrac12) a_i - \log\frac{\sinh(a_i / 2)}{a_i / 2}

    It is the density that the binary cross-entropy of grey values lacks, :math:`C(\lambda) = a / \tanh(a / 2) \ge 2`.

    Args:
        logits: ``[B, *event]``.
        event_dims: how many trailing dimensions form one event, >= 1.

    Source: Loaiza-Ganem & Cunningham, "The continuous Bernoulli", NeurIPS 2019, eq. 6-8.
    """

    arg_constraints: dict = {}  # type: ignore[assignment]
    has_rsample = True

    def __init__(self, logits: Tensor, event_dims: int = 1) -> None:
        self.logits = logits
        super().__init__(logits.shape[:-event_dims], logits.shape[-event_dims:], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        each = (value - 0.5) * self.logits - log_sinhc(self.logits / 2)
        return each.sum(tuple(range(-len(self._event_shape), 0)))

    @property
    def mean(self) -> Tensor:
        r""":math:`\frac{\lambda}{2\lambda - 1} + \frac{1}{2 \operatorname{artanh}(1 - 2\lambda)}
        = \frac{1}{1 - e^{-a}} - \frac1a`."""
        t = self.logits / 2
        small = t.abs() < SERIES
        large = torch.where(small, torch.ones_like(t), t.abs())
        exact = -1 / torch.expm1(-2 * large) - 1 / (2 * large)  # for a > 0; the mean for -a is one minus that for a
        s = torch.where(small, t, torch.zeros_like(t))
        series = 0.5 + s / 6 - s**3 / 90 + s**5 / 945
        return torch.where(small, series, torch.where(t < 0, 1 - exact, exact))

    def rsample(self, sample_shape: _size = ()) -> Tensor:
        batch = len(sample_shape) if self._batch_shape else None
        u = noise.uniform((*sample_shape, *self.logits.shape), self.logits, batch)
        u = torch.where(self.logits > 0, 1 - u, u)
        a = -self.logits.abs()  # p(x; a) = p(1 - x; -a), and exp(a) cannot overflow
        small = a > -1e-3
        safe = torch.where(small, -torch.ones_like(a), a)
        x = torch.where(small, u + a * u * (1 - u) / 2, torch.log1p(u * torch.expm1(safe)) / safe)
        return torch.where(self.logits > 0, 1 - x, x).clamp(0, 1)


def log_sinhc(t: Tensor) -> Tensor:
    """log(sinh(t) / t), with finite gradients everywhere."""
    small = t.abs() < SERIES
    large = torch.where(small, torch.ones_like(t), t.abs())
    exact = large + torch.log(-torch.expm1(-2 * large)) - torch.log(2 * large)
    s = torch.where(small, t, torch.zeros_like(t)).square()
    return torch.where(small, s / 6 - s**2 / 180 + s**3 / 2835, exact)
