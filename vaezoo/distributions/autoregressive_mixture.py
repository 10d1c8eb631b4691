"""A density that is given one dimension at a time."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.types import _size

from vaezoo.distributions import noise


class AutoregressiveMixture(Distribution):
    r"""Each dimension is a mixture of K normals that depends on the dimensions before it; no batch shape.

    .. math:: \log p(z) = \sum_i \log \sum_k \pi_{ki}(z_{<i})\, \mathcal N(z_i; \mu_{ki}(z_{<i}), \sigma_{ki}^2(z_{<i}))

    A density takes one pass of the network, a sample one per dimension.

    Args:
        conditionals: z ``[..., d]`` to unnormalised log pi, mu and log sigma, ``[..., K, d]`` each.
        order: the dimensions, first the one that depends on no other.
        event_shape: shape of z; the network sees it as a vector.
        like: gives dtype and device.
    """

    arg_constraints: dict = {}  # type: ignore[assignment]

    def __init__(
        self,
        conditionals: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]],
        order: Sequence[int],
        event_shape: Sequence[int],
        like: Tensor,
    ) -> None:
        self.conditionals, self.order, self._like = conditionals, order, like
        super().__init__(torch.Size(), torch.Size(event_shape), validate_args=False)

    @torch.no_grad()
    def sample(self, sample_shape: _size = ()) -> Tensor:
        shape = (*sample_shape, len(self.order))
        u, epsilon = noise.uniform(shape, self._like), noise.normal(shape, self._like)
        z = torch.zeros_like(epsilon)
        for i in self.order:
            logits, means, log_stds = (values[..., i] for values in self.conditionals(z))  # [..., K] each
            component = (u[..., i, None] > logits.softmax(-1).cumsum(-1)[..., :-1]).sum(-1, keepdim=True)
            values = means + log_stds.exp() * epsilon[..., i, None]
            z[..., i] = values.gather(-1, component).squeeze(-1)
        return z.unflatten(-1, self._event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        z = value.flatten(-len(self._event_shape))
        logits, means, log_stds = self.conditionals(z)
        squares = ((z.unsqueeze(-2) - means) * torch.exp(-log_stds)).square()
        each = logits.log_softmax(-2) - 0.5 * squares - log_stds - 0.5 * math.log(2 * math.pi)  # [..., K, d]
        return each.logsumexp(-2).sum(-1)
