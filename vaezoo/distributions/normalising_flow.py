"""A density that a map carries to N(0, I)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.types import _size

from vaezoo.distributions.standard_normal import StandardNormal


class NormalisingFlow(Distribution):
    r"""The distribution of z for which f(z) ~ N(0, I), without batch shape.

    .. math:: \log p(z) = \log \mathcal N(f(z); 0, I) + \log\left|\det\frac{\partial f}{\partial z}\right|

    Unlike `Flowed`, its density is known everywhere, and it must know the inverse of f in order to draw.

    Args:
        event_shape: shape of z; f sees it as a vector.
        flow: f, from ``[..., d]`` to u ``[..., d]`` and log|det df/dz| ``[...]``.
        inverse: u ``[..., d]`` to z ``[..., d]``.
        like: gives dtype and device.
    """

    arg_constraints: dict = {}  # type: ignore[assignment]
    has_rsample = True

    def __init__(
        self,
        event_shape: Sequence[int],
        flow: Callable[[Tensor], tuple[Tensor, Tensor]],
        inverse: Callable[[Tensor], Tensor],
        like: Tensor,
    ) -> None:
        super().__init__(torch.Size(), torch.Size(event_shape), validate_args=False)
        self.base = StandardNormal((self._event_shape.numel(),), like)
        self.flow, self.inverse = flow, inverse

    def rsample(self, sample_shape: _size = ()) -> Tensor:
        return self.inverse(self.base.rsample(sample_shape)).unflatten(-1, self._event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        u, log_det = self.flow(value.flatten(-len(self._event_shape)))
        return self.base.log_prob(u) + log_det
