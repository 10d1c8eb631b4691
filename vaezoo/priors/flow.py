"""A prior made of affine coupling layers."""

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaezoo.distributions.normalising_flow import NormalisingFlow
from vaezoo.errors import UsageError
from vaezoo.networks.coupling import Coupling
from vaezoo.networks.layers import widths
from vaezoo.registry import register
from vaezoo.shapes import Shapes


@register(
    paper="Dinh et al., ICLR 2017, eq. 7; as a prior: Huang et al., 2017",
    url="https://arxiv.org/abs/1605.08803",
    identities=("test_prior_starts_as_the_standard_one", "test_prior_integrates_to_one"),
)
class FlowPrior(nn.Module):
    r"""A density that coupling layers f carry to N(0, I).

    .. math:: \log p(z) = \log \mathcal N(f(z); 0, I) + \log\left|\det\frac{\partial f}{\partial z}\right|

    The layers keep the even and the odd dimensions in turn; a grid is read as a vector. It starts as N(0, I). A sample
    takes one pass, as a density does, unlike in the autoregressive prior.

    Args:
        shapes: reads ``latent``.
        steps: number of coupling layers, >= 1.
        hidden: widths of the hidden layers of each layer's network.

    Raises:
        UsageError: ``steps`` or a width is below 1.

    Source: Dinh et al., ICLR 2017 (arXiv 1605.08803); Huang et al., 2017 (arXiv 1710.02248).
    """

    support = "real"
    needs = ()

    def __init__(self, shapes: Shapes, steps: int = 6, hidden: tuple[int, ...] = (128, 128)) -> None:
        super().__init__()
        if steps < 1:
            raise UsageError(f"prior.steps={steps} must be >= 1")
        hidden = tuple(widths("prior.hidden", hidden))
        self.latent, parity = shapes.latent, torch.arange(prod(shapes.latent)) % 2
        self.couplings = nn.ModuleList(Coupling(parity == step % 2, hidden) for step in range(steps))

    def forward(self, q_of: Callable[[Tensor], Distribution], c: Tensor | None = None) -> NormalisingFlow:
        """p(z)."""
        like = next(self.parameters())
        return NormalisingFlow(self.latent, self.normalise, self.generate, like)

    def normalise(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """u = f(z) ``[..., d]`` and log|det df/dz| ``[...]``."""
        log_det = torch.zeros_like(z[..., 0])
        for coupling in self.couplings:
            z, more = coupling(z)
            log_det = log_det + more
        return z, log_det

    def generate(self, u: Tensor) -> Tensor:
        """The z ``[..., d]`` for which f(z) = u."""
        for coupling in reversed(self.couplings):
            u = coupling.inverse(u)  # type: ignore[operator]
        return u
