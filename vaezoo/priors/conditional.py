"""A normal prior that depends on the condition."""

from collections.abc import Callable
from math import prod

from torch import Tensor, nn
from torch.distributions import Distribution

from vaezoo.distributions.diagonal_normal import DiagonalNormal
from vaezoo.errors import UsageError
from vaezoo.networks.layers import flat_size, widths
from vaezoo.networks.mlp import stack
from vaezoo.registry import register
from vaezoo.shapes import Shapes


@register(
    paper="Sohn et al., NIPS 2015, sec. 4",
    url="https://papers.nips.cc/paper/5775-learning-structured-output-representation-using-deep-conditional-generative-models",
)
class ConditionalPrior(nn.Module):
    r""":math:`p(z|c) = \mathcal N(z; \mu(c), \mathrm{diag}(\sigma^2(c)))`, from a dense network that reads c.

    It starts as the standard prior for every c. Unlike that one it lets the code of one condition lie apart from that
    of another, so that z need not be independent of c.

    Args:
        shapes: reads ``condition`` and ``latent``.
        hidden: width of each layer, first the one that reads the flattened c; an empty list gives a linear model.
        activation: relu, gelu, silu, tanh, softplus, sigmoid or leaky_relu.
        log_std_min: lower bound of log std, nats; a hard clamp.
        log_std_max: upper bound of log std, nats; a hard clamp.

    Raises:
        UsageError: there is no condition, a width is below 1, or the bounds are not in order.
    """

    support = "real"
    factorised = True
    needs = ()

    def __init__(
        self,
        shapes: Shapes,
        hidden: tuple[int, ...] = (128,),
        activation: str = "relu",
        log_std_min: float = -7.0,
        log_std_max: float = 5.0,
    ) -> None:
        super().__init__()
        if not shapes.condition:
            raise UsageError("prior=conditional needs a condition, and this variant has none: use variant=cvae")
        if not log_std_min < log_std_max:
            raise UsageError(f"prior.log_std_min={log_std_min} must be below log_std_max={log_std_max}")
        self.latent, self.bounds = shapes.latent, (log_std_min, log_std_max)
        inputs = flat_size(shapes.condition)
        self.layers = stack(inputs, widths("prior.hidden", hidden), activation)
        self.head = nn.Linear([inputs, *hidden][-1], 2 * prod(shapes.latent))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, q_of: Callable[[Tensor], Distribution], c: Tensor | None = None) -> DiagonalNormal:
        """p(z|c) for c ``[B, *condition]``, batch shape ``[B]``."""
        if c is None:
            raise UsageError("prior=conditional gives p(z|c): it must be asked with a condition c")
        parameters = self.head(self.layers(c.flatten(1))).to(self.head.weight.dtype)  # undoes autocast
        mean, log_std = parameters.reshape(-1, 2, *self.latent).unbind(1)  # [B, *latent] each
        return DiagonalNormal(mean, log_std.clamp(*self.bounds), event_dims=len(self.latent))
