"""Independent grey levels: a mixture of logistic densities cut into 256 bins."""

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.types import _size

from vaezoo.distributions import noise
from vaezoo.distributions.discretised_logistic import clipped_mean, log_mass, nearest_level


class DiscretisedLogisticMixture(Distribution):
    r"""Independent values k / 255, each with its own mixture of K discretised logistics.

    .. math:: P(x) = \prod_i \sum_k \pi_{ki} P(x_i; m_{ki}, s_{ki})

    Every channel of a pixel has its own mixture: there is no dependence between channels, unlike in PixelCNN++.

    Args:
        logits: unnormalised log pi, ``[B, K, *event]``.
        means: m, ``[B, K, *event]``.
        log_scales: log s, ``[B, K, *event]``.
        event_dims: how many trailing dimensions form one event, >= 1.

    Source: Salimans et al., "PixelCNN++", ICLR 2017, eq. 2.
    """

    arg_constraints: dict = {}  # type: ignore[assignment]

    def __init__(self, logits: Tensor, means: Tensor, log_scales: Tensor, event_dims: int = 1) -> None:
        self.dim = -1 - event_dims
        self.log_weights = logits.log_softmax(self.dim)
        self.means, self.log_scales = means, log_scales
        super().__init__(logits.shape[: self.dim], logits.shape[-event_dims:], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        each = self.log_weights + log_mass(value.unsqueeze(self.dim), self.means, self.log_scales)
        return each.logsumexp(self.dim).sum(tuple(range(-len(self._event_shape), 0)))

    @property
    def mean(self) -> Tensor:
        return (self.log_weights.exp() * clipped_mean(self.means, self.log_scales)).sum(self.dim)

    @torch.no_grad()
    def sample(self, sample_shape: _size = ()) -> Tensor:
        batch = len(sample_shape) if self._batch_shape else None
        shape = (*sample_shape, *self._batch_shape, *self._event_shape)
        u = noise.uniform(shape, self.means, batch).unsqueeze(self.dim)
        passed = (self.log_weights.exp().cumsum(self.dim) < u).sum(self.dim, keepdim=True)
        component = passed.clamp(max=self.means.shape[self.dim] - 1)  # [*sample_shape, B, 1, *event]
        all_means = self.means.expand(*sample_shape, *self.means.shape)
        all_log_scales = self.log_scales.expand(*sample_shape, *self.means.shape)
        mean = all_means.gather(self.dim, component).squeeze(self.dim)
        log_scale = all_log_scales.gather(self.dim, component).squeeze(self.dim)
        return nearest_level(mean + log_scale.exp() * noise.uniform(shape, self.means, batch).logit())
