"""The uniform prior on the unit sphere."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaezoo.distributions.uniform_sphere import UniformSphere
from vaezoo.errors import UsageError
from vaezoo.registry import register
from vaezoo.shapes import Shapes


@register(paper="Davidson et al., UAI 2018, sec. 3", url="https://arxiv.org/abs/1804.00891")
class UniformSpherePrior(nn.Module):
    r""":math:`p(z) = \Gamma(m/2) / (2 \pi^{m/2})` for unit vectors z, with no centre to be drawn to.

    Args:
        shapes: reads ``latent`` ``(m,)``.

    Raises:
        UsageError: the latent is a grid.
    """

    support = "sphere"
    factorised = False
    needs = ()

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        if len(shapes.latent) != 1:
            raise UsageError(f"prior=uniform_sphere needs a vector latent, such as latent=11; got {shapes.latent}")
        (self.dimension,) = shapes.latent
        self.like: Tensor
        self.register_buffer("like", torch.zeros(()), persistent=False)

    def forward(self, q_of: Callable[[Tensor], Distribution], c: Tensor | None = None) -> UniformSphere:
        """p(z)."""
        return UniformSphere(self.dimension, self.like)
