"""The standard normal distribution."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.types import _size

from vaezoo.distributions import noise


class StandardNormal(Distribution):
    r"""N(0, I) without batch shape, which holds no tensors of its own size.

    .. math:: \log p(x) = -\tfrac12 \sum_i x_i^2 + \log 2\pi

    Args:
        event_shape: shape of one event.
        like: gives dtype and device.
    """

    arg_constraints: dict = {}  # type: ignore[assignment]
    has_rsample = True

    def __init__(self, event_shape: Sequence[int], like: Tensor) -> None:
        self._like = like
        super().__init__(torch.Size(), torch.Size(event_shape), validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self._like.new_zeros(self._event_shape)

    @property
    def mode(self) -> Tensor:
        return self.mean

    @property
    def stddev(self) -> Tensor:
        return self._like.new_ones(self._event_shape)

    @property
    def variance(self) -> Tensor:
        return self.stddev

    def rsample(self, sample_shape: _size = ()) -> Tensor:
        return noise.normal((*sample_shape, *self._event_shape), self._like)

    def log_prob(self, value: Tensor) -> Tensor:
        squares = value.square().sum(tuple(range(-len(self._event_shape), 0)))
        return -0.5 * (squares + self._event_shape.numel() * math.log(2 * math.pi))
