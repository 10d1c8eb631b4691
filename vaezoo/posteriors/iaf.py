"""A posterior of inverse autoregressive flows."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from vaezoo.distributions.flowed import Flowed
from vaezoo.networks.layers import widths
from vaezoo.networks.masked import MADE
from vaezoo.posteriors.base_normal import base_normal, checked_steps
from vaezoo.registry import register
from vaezoo.shapes import Shapes


@register(
    paper="Kingma et al., NeurIPS 2016, eq. 13 and 14",
    url="https://arxiv.org/abs/1606.04934",
    identities=("test_log_determinant_is_that_of_the_jacobian", "test_open_gates_are_the_diagonal_posterior"),
)
class IAFPosterior(nn.Module):
    r"""Moves each latent by amounts that depend on those before it, in steps that turn the order round.

    .. math:: z_t = \sigma_t \odot z_{t-1} + (1 - \sigma_t) \odot m_t,\quad
              \log|\det| = \sum_i \log \sigma_{t,i},\quad \sigma_t = \mathrm{sigmoid}(s_t)

    :math:`(m_t, s_t)` is a masked network of :math:`z_{t-1}` that also reads the encoder's features; the parameters of
    planar and radial flows, in contrast, are the encoder's output. Training starts from :math:`m_t = 0`.

    Args:
        shapes: reads ``features`` ``(F,)`` and ``latent`` ``(d,)``.
        steps: T, the number of steps, >= 1.
        hidden: widths of the hidden layers of each step's network, at least one.
        gate: where s starts, nats; the larger, the nearer training starts to the diagonal posterior.
        log_std_min: lower bound of the base's log std, nats; a hard clamp.
        log_std_max: upper bound of the base's log std, nats; a hard clamp.

    Raises:
        UsageError: latent or features are a grid, ``steps`` or a width is below 1, or the bounds are not in order.
    """

    support = "real"
    density = "own"
    factorised = False

    def __init__(
        self,
        shapes: Shapes,
        steps: int = 2,
        hidden: tuple[int, ...] = (320,),
        gate: float = 4.0,
        log_std_min: float = -7.0,
        log_std_max: float = 5.0,
    ) -> None:
        super().__init__()
        self.base = base_normal("iaf", shapes, log_std_min, log_std_max)
        (d,), (features,) = shapes.latent, shapes.features
        hidden, order = tuple(widths("posterior.hidden", hidden, at_least=1)), range(d)
        self.orders = [order[:: 1 - 2 * (t % 2)] for t in range(checked_steps(steps))]
        networks = [MADE(order, hidden, outputs=2, context=features) for order in self.orders]
        for network in networks:
            nn.init.zeros_(network.last.weight)
            nn.init.zeros_(network.last.bias[:d])
            nn.init.constant_(network.last.bias[d:], gate)
        self.networks = nn.ModuleList(networks)

    def forward(self, h: Tensor) -> Flowed:
        """q(z|x) of features ``h [N, F]``."""
        contexts = [network.context(h) for network in self.networks]  # type: ignore[operator]
        return Flowed(self.base(h), partial(self.flow, contexts), partial(self.inverse, contexts))

    def flow(self, contexts: list[Tensor], z: Tensor) -> tuple[Tensor, Tensor]:
        """z ``[..., N, d]`` after all steps and log|det| ``[..., N]``, given each network's context ``[N, hidden]``."""
        log_det = torch.zeros_like(z[..., 0])
        for network, context in zip(self.networks, contexts, strict=True):
            m, s = network(z, context).to(z.dtype).unbind(-2)  # undoes autocast
            z = m + s.sigmoid() * (z - m)
            log_det = log_det + logsigmoid(s).sum(-1)
        return z, log_det

    def inverse(self, contexts: list[Tensor], z: Tensor) -> Tensor:
        """The z ``[..., N, d]`` before all steps, one dimension and one pass of a network after the other."""
        dimensions = torch.arange(z.shape[-1], device=z.device)
        for network, context, order in reversed(list(zip(self.networks, contexts, self.orders, strict=True))):
            before = torch.zeros_like(z)
            for i in order:
                m, s = network(before, context).to(z.dtype).unbind(-2)
                before = torch.where(dimensions == i, m + (z - m) / s.sigmoid(), before)
            z = before
        return z

    def embed(self, z: Tensor) -> Tensor:
        """What the decoder reads."""
        return z
