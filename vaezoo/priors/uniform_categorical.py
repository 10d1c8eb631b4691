"""The uniform prior over one-hot choices."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaezoo.distributions.one_hot_categorical import OneHotCategorical
from vaezoo.errors import UsageError
from vaezoo.registry import register
from vaezoo.shapes import Shapes


@register(paper="Jang et al., ICLR 2017, sec. 4", url="https://arxiv.org/abs/1611.01144")
class UniformCategoricalPrior(nn.Module):
    r""":math:`p(z) = K^{-n}` for n independent choices among K, or learned probabilities of each choice.

    Args:
        shapes: reads ``latent`` ``(n, K)``.
        learned: learn the probabilities, from 1 / K on; still independent.

    Raises:
        UsageError: the latent is not of the form [n, K].
    """

    support = "one-hot"
    factorised = True
    needs = ()

    def __init__(self, shapes: Shapes, learned: bool = False) -> None:
        super().__init__()
        if len(shapes.latent) != 2:
            raise UsageError(
                "prior=uniform_categorical needs a latent of n choices among K, such as latent=[20,10];"
                f" got latent={shapes.latent}"
            )
        self.logits: Tensor
        if learned:
            self.logits = nn.Parameter(torch.zeros(shapes.latent))
        else:
            self.register_buffer("logits", torch.zeros(shapes.latent), persistent=False)

    def forward(self, q_of: Callable[[Tensor], Distribution], c: Tensor | None = None) -> OneHotCategorical:
        """p(z)."""
        return OneHotCategorical(self.logits)
