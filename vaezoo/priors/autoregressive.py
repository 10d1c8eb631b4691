"""A prior that gives one dimension after the other."""

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaezoo.distributions.autoregressive_mixture import AutoregressiveMixture
from vaezoo.errors import UsageError
from vaezoo.networks.layers import widths
from vaezoo.networks.masked import MADE, checked_order
from vaezoo.registry import register
from vaezoo.shapes import Shapes


@register(
    paper="Germain et al., ICML 2015, eq. 12; as a prior: Chen et al., ICLR 2017, sec. 3.2",
    url="https://arxiv.org/abs/1502.03509",
    identities=("test_prior_starts_as_the_standard_one", "test_conditionals_depend_on_the_dimensions_before"),
)
class AutoregressivePrior(nn.Module):
    r"""Normals, or mixtures of K normals, each of which depends on the dimensions before it through a masked network.

    .. math:: p(z) = \prod_i \sum_k \pi_{ki}(z_{<i})\, \mathcal N(z_i; \mu_{ki}(z_{<i}), \sigma_{ki}^2(z_{<i}))

    It starts as N(0, I). A density takes one pass of the network, a sample one per dimension. A grid becomes a vector.

    Args:
        shapes: reads ``latent``.
        components: K, >= 1.
        hidden: widths of the network's hidden layers, at least one.
        order: the dimensions, first the one that depends on no other; empty for 0, 1, 2, ...
        log_std_min: lower bound of log sigma, nats; a hard clamp.
        log_std_max: upper bound of log sigma, nats; a hard clamp.

    Raises:
        UsageError: ``components`` or a width is below 1, ``order`` is no permutation of the dimensions, or the bounds
            are not in order.

    Source: Germain et al., ICML 2015 (arXiv 1502.03509); Chen et al., ICLR 2017 (arXiv 1611.02731).
    """

    support = "real"
    needs = ()

    def __init__(
        self,
        shapes: Shapes,
        components: int = 1,
        hidden: tuple[int, ...] = (256, 256),
        order: tuple[int, ...] = (),
        log_std_min: float = -7.0,
        log_std_max: float = 5.0,
    ) -> None:
        super().__init__()
        if components < 1:
            raise UsageError(f"prior.components={components} must be >= 1")
        if not log_std_min < log_std_max:
            raise UsageError(f"prior.log_std_min={log_std_min} must be below log_std_max={log_std_max}")
        self.latent, self.bounds, d = shapes.latent, (log_std_min, log_std_max), prod(shapes.latent)
        self.order = checked_order("prior.order", order, d)
        self.network = MADE(self.order, widths("prior.hidden", hidden, at_least=1), 3 * components)
        with torch.no_grad():  # all components are N(0, I); their weights differ, which is what tells them apart
            self.network.last.weight[components * d :].zero_()
            self.network.last.bias[components * d :].zero_()

    def forward(self, q_of: Callable[[Tensor], Distribution], c: Tensor | None = None) -> AutoregressiveMixture:
        """p(z)."""
        return AutoregressiveMixture(self.conditionals, self.order, self.latent, self.network.last.bias)

    def conditionals(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Unnormalised log pi, mu and log sigma of z ``[..., d]``, ``[..., K, d]`` each."""
        logits, means, log_stds = self.network(z).to(z.dtype).chunk(3, -2)  # undoes autocast
        return logits, means, log_stds.clamp(*self.bounds)
