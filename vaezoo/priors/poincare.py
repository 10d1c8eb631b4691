"""The wrapped standard normal prior on the Poincare ball."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaezoo.distributions.wrapped_normal import WrappedNormal
from vaezoo.errors import UsageError
from vaezoo.registry import register
from vaezoo.shapes import Shapes


@register(paper="Mathieu et al., NeurIPS 2019, sec. 3.1", url="https://arxiv.org/abs/1901.06033")
class PoincarePrior(nn.Module):
    r"""A normal wrapped around the ball at its centre, :math:`z = \tau(v),\ v \sim N(0, I)`.

    Its curvature is that of the posterior, so that both densities are with respect to one volume.

    Args:
        shapes: reads ``latent`` ``(d,)`` and ``curvature``.

    Raises:
        UsageError: the latent is a grid, or the posterior has no curvature.
    """

    support = "ball"
    factorised = False
    needs = ()

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        if len(shapes.latent) != 1 or shapes.curvature <= 0:
            raise UsageError(
                "prior=poincare needs posterior=poincare and a vector latent, such as latent=10;"
                f" got latent={shapes.latent} and curvature={shapes.curvature}"
            )
        self.curvature = shapes.curvature
        self.centre: Tensor
        self.register_buffer("centre", torch.zeros(shapes.latent), persistent=False)

    def forward(self, q_of: Callable[[Tensor], Distribution], c: Tensor | None = None) -> WrappedNormal:
        """p(z)."""
        return WrappedNormal(self.centre, self.centre, self.curvature)
