"""The uniform prior of discrete codes."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaezoo.distributions.uniform_codes import UniformCodes
from vaezoo.registry import register
from vaezoo.shapes import Shapes


@register(paper="van den Oord et al., NeurIPS 2017, sec. 3.1", url="https://arxiv.org/abs/1711.00937")
class UniformCodesPrior(nn.Module):
    r""":math:`p(z) = K^{-N}`: the rate is the constant N log K.

    Args:
        shapes: reads ``latent``, the shape of the N codes, and ``codes``, K.
    """

    support = "codes"
    needs = ()

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.event, self.codes = shapes.latent, shapes.codes
        self.like: Tensor
        self.register_buffer("like", torch.zeros(()), persistent=False)

    def forward(self, q_of: Callable[[Tensor], Distribution], c: Tensor | None = None) -> UniformCodes:
        """p(z), whatever the condition."""
        return UniformCodes(self.event, self.codes, self.like)
