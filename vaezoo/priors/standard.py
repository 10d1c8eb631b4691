"""The standard normal prior."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaezoo.distributions.standard_normal import StandardNormal
from vaezoo.registry import register
from vaezoo.shapes import Shapes


@register(paper="Kingma & Welling, ICLR 2014, appendix B", url="https://arxiv.org/abs/1312.6114")
class StandardPrior(nn.Module):
    r""":math:`p(z) = \mathcal N(0, I)`.

    Args:
        shapes: reads ``latent``.
    """

    support = "real"
    factorised = True
    needs = ()

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.latent = shapes.latent
        self.like: Tensor
        self.register_buffer("like", torch.zeros(()), persistent=False)

    def forward(self, q_of: Callable[[Tensor], Distribution], c: Tensor | None = None) -> StandardNormal:
        """p(z)."""
        return StandardNormal(self.latent, self.like)
