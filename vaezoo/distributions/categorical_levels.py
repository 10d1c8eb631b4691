"""Independent grey levels with a free probability for each of the 256."""

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.types import _size

from vaezoo.distributions import noise
from vaezoo.distributions.discretised_logistic import LEVELS


class CategoricalLevels(Distribution):
    r"""Independent values k / 255, k = 0..255, with logits a.

    .. math:: \log P(x) = \sum_i a_{i k_i} - \log \sum_k e^{a_{ik}}, \quad k_i = 255 x_i

    Args:
        logits: ``[B, *event, 256]``.
        event_dims: how many dimensions before the last form one event, >= 1.
    """

    arg_constraints: dict = {}  # type: ignore[assignment]

    def __init__(self, logits: Tensor, event_dims: int = 1) -> None:
        self.logits = logits
        super().__init__(logits.shape[: -1 - event_dims], logits.shape[-1 - event_dims : -1], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        shape = torch.broadcast_shapes(value.shape, self.logits.shape[:-1])
        index = (value * (LEVELS - 1)).round().long().expand(shape).unsqueeze(-1)
        each = self.logits.expand(*shape, LEVELS).gather(-1, index).squeeze(-1) - self.logits.logsumexp(-1)
        return each.sum(tuple(range(-len(self._event_shape), 0)))

    @property
    def mean(self) -> Tensor:
        levels = torch.linspace(0, 1, LEVELS, dtype=self.logits.dtype, device=self.logits.device)
        return (self.logits.softmax(-1) * levels).sum(-1)

    @torch.no_grad()
    def sample(self, sample_shape: _size = ()) -> Tensor:
        batch = len(sample_shape) if self._batch_shape else None
        u = noise.uniform((*sample_shape, *self.logits.shape[:-1]), self.logits, batch)
        passed = (self.logits.softmax(-1).cumsum(-1) < u.unsqueeze(-1)).sum(-1)
        return passed.clamp(max=LEVELS - 1).to(self.logits.dtype) / (LEVELS - 1)
