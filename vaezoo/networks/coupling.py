"""The affine coupling layer."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vaezoo.networks.mlp import stack


class Coupling(nn.Module):
    r"""Scales and shifts some dimensions by amounts that depend on the others.

    .. math:: u = b \odot z + (1 - b) \odot \left(z \odot e^{s(b \odot z)} + t(b \odot z)\right),\quad
              \log\left|\det\frac{du}{dz}\right| = \sum_i (1 - b_i)\, s_i

    s = c tanh(.), with one learned factor c per dimension. The last layer of the network starts at zero, so that the
    layer starts as the identity.

    Args:
        kept: b, the dimensions that stay as they are, bool ``[d]``.
        hidden: width of each hidden layer of the network that gives s and t.

    Source: Dinh et al., ICLR 2017 (arXiv 1605.08803), eq. 7 to 9.
    """

    def __init__(self, kept: Tensor, hidden: Sequence[int]) -> None:
        super().__init__()
        d = len(kept)
        self.network = stack(d, hidden, "relu")
        self.last = nn.Linear([d, *hidden][-1], 2 * d)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.factor = nn.Parameter(torch.ones(d))
        self.kept: Tensor
        self.register_buffer("kept", kept.float(), persistent=False)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """u ``[..., d]`` and log|det du/dz| ``[...]``."""
        s, t = self.scale_and_shift(z)
        return z * s.exp() + t, s.sum(-1)

    def inverse(self, u: Tensor) -> Tensor:
        """z ``[..., d]`` of u."""
        s, t = self.scale_and_shift(u)
        return (u - t) * torch.exp(-s)

    def scale_and_shift(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """s and t, ``[..., d]`` each, which are zero where z is kept."""
        raw = self.last(self.network(z * self.kept)).to(z.dtype)  # undoes autocast: densities need the precision
        s, t = raw.chunk(2, -1)
        return (1 - self.kept) * self.factor * s.tanh(), (1 - self.kept) * t
