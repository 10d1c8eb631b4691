"""A learned mixture of diagonal Gaussians as prior."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaezoo.distributions.normal_mixture import NormalMixture
from vaezoo.errors import UsageError
from vaezoo.registry import register
from vaezoo.shapes import Shapes


@register(paper="Tomczak & Welling, AISTATS 2018, sec. 3 (MoG)", url="https://arxiv.org/abs/1705.07120")
class MixturePrior(nn.Module):
    r""":math:`p(z) = \sum_k \pi_k \mathcal N(z; \mu_k, \mathrm{diag}(\sigma_k^2))` with everything learned.

    Means start from N(0, I), which tells the components apart, standard deviations from 1, weights from 1 / K.

    Args:
        shapes: reads ``latent``.
        components: K, >= 1.

    Raises:
        UsageError: ``components`` is below 1.
    """

    support = "real"
    needs = ()

    def __init__(self, shapes: Shapes, components: int = 10) -> None:
        super().__init__()
        if components < 1:
            raise UsageError(f"prior.components={components} must be >= 1")
        self.logits = nn.Parameter(torch.zeros(components))
        self.means = nn.Parameter(torch.randn(components, *shapes.latent))
        self.log_stds = nn.Parameter(torch.zeros(components, *shapes.latent))

    def forward(self, q_of: Callable[[Tensor], Distribution], c: Tensor | None = None) -> NormalMixture:
        """p(z)."""
        return NormalMixture(self.logits, self.means, self.log_stds)
