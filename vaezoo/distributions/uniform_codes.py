"""Independent codes of equal probability."""

from collections.abc import Sequence
from math import log

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.types import _size

from vaezoo.distributions import noise


class UniformCodes(Distribution):
    r"""N codes, each uniform on 0..K-1; without batch shape.

    .. math:: \log p(z) = -N \log K

    Args:
        event_shape: shape of one event, of N codes.
        codes: K, >= 1.
        like: gives dtype of log p, and the device.
    """

    arg_constraints: dict = {}  # type: ignore[assignment]

    def __init__(self, event_shape: Sequence[int], codes: int, like: Tensor) -> None:
        self.codes, self._like = codes, like
        super().__init__(torch.Size(), torch.Size(event_shape), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        lead = value.shape[: value.ndim - len(self._event_shape)]
        return self._like.new_full(lead, -self._event_shape.numel() * log(self.codes))

    def sample(self, sample_shape: _size = ()) -> Tensor:
        """Codes, long ``[*sample_shape, *event]``."""
        u = noise.uniform((*sample_shape, *self._event_shape), self._like)
        return (u * self.codes).long().clamp(max=self.codes - 1)
