"""Independent grey levels: a logistic density cut into 256 bins."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution
from torch.types import _size

from vaezoo.distributions import noise

LEVELS = 256
HALF_BIN = 0.5 / (LEVELS - 1)


class DiscretisedLogistic(Distribution):
    r"""Independent values k / 255, k = 0..255, each with the logistic mass of its bin.

    .. math:: P(x) = \sigma\!\left(\frac{x + \delta - m}{s}\right) - \sigma\!\left(\frac{x - \delta - m}{s}\right),
        \quad \delta = \frac{1}{510}

    The bin edges lie halfway between the levels and the outermost two at infinity, so that the 256 masses sum to one.
    Where papers write levels as :math:`x' = (k + \tfrac12) / 256`, this is the same distribution with
    :math:`m' = (255 m + \tfrac12) / 256` and :math:`s' = \tfrac{255}{256} s`.

    Args:
        mean: m, location of the logistic, ``[B, *event]``; any real number.
        log_scale: log s, any shape that broadcasts to that of ``mean``.
        event_dims: how many trailing dimensions form one event, >= 1.

    Source: Kingma et al., "Improved variational inference with inverse autoregressive flow", NeurIPS 2016, app. C.5.
    """

    arg_constraints: dict = {}  # type: ignore[assignment]

    def __init__(self, mean: Tensor, log_scale: Tensor, event_dims: int = 1) -> None:
        self.location, self.log_scale = mean, log_scale
        super().__init__(mean.shape[:-event_dims], mean.shape[-event_dims:], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        each = log_mass(value, self.location, self.log_scale)
        return each.sum(tuple(range(-len(self._event_shape), 0)))

    @property
    def mean(self) -> Tensor:
        return clipped_mean(self.location, self.log_scale)

    @torch.no_grad()
    def sample(self, sample_shape: _size = ()) -> Tensor:
        batch = len(sample_shape) if self._batch_shape else None
        u = noise.uniform((*sample_shape, *self.location.shape), self.location, batch)
        return nearest_level(self.location + self.log_scale.exp() * u.logit())


def log_mass(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    r"""Log mass of the bin around each level x, elementwise with broadcasting.

    .. math:: \log(\sigma(u) - \sigma(v)) = \log\sigma(u) + \log\sigma(-v) + \log(1 - e^{v - u})

    Nothing cancels, so value and gradient are finite at any distance and scale.
    """
    inverse = torch.exp(-log_scale)
    centred = x - mean
    below_upper = F.logsigmoid((centred + HALF_BIN) * inverse)
    above_lower = F.logsigmoid((HALF_BIN - centred) * inverse)
    width = _log1mexp(math.log(2 * HALF_BIN) - log_scale)
    # The lowest bin is all that lies below its upper edge, the highest all that lies above its lower edge.
    inner = below_upper + above_lower + width
    return torch.where(x < HALF_BIN, below_upper, torch.where(x > 1 - HALF_BIN, above_lower, inner))


def _log1mexp(log_w: Tensor) -> Tensor:
    """log(1 - exp(-w)) from log w, with finite gradients at any w > 0."""
    w = log_w.exp()
    small = w < 1e-3
    exact = torch.log(-torch.expm1(-torch.where(small, torch.ones_like(w), w)))
    return torch.where(small, log_w - w / 2 + w.square() / 24, exact)


def clipped_mean(mean: Tensor, log_scale: Tensor) -> Tensor:
    """Mean of the logistic clipped to [0, 1], within half a level of the mean over the levels."""
    scale = log_scale.clamp(max=6).exp()  # the difference loses all digits at larger scales, and is near 1/2 there
    return (scale * (F.softplus(mean / scale) - F.softplus((mean - 1) / scale))).clamp(0, 1)


def nearest_level(x: Tensor) -> Tensor:
    """The level k / 255 nearest to each value."""
    return (x.clamp(0, 1) * (LEVELS - 1)).round() / (LEVELS - 1)
