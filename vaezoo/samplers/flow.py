"""Latents from a masked autoregressive flow that is fitted to the codes."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vaezoo.distributions import noise
from vaezoo.errors import UsageError
from vaezoo.networks.masked import MADE
from vaezoo.samplers.codes import Codes, Sampler
from vaezoo.samplers.training import standardised, train

BOUND = 5.0  # of |log sigma|


class MaskedAutoregressiveFlow(nn.Module):
    r"""Steps that whiten each dimension given those before it, in alternating order.

    .. math:: u_i = \frac{z_i - \mu_i(z_{<i})}{\sigma_i(z_{<i})},\quad
              \log p(z) = \log \mathcal N(u; 0, I) - \sum_{\text{steps}} \sum_i \log \sigma_i

    It starts as N(0, I). A density takes one pass of each step, a sample d of them.

    Args:
        d: number of dimensions.
        steps: number of steps, >= 1.
        hidden: widths of each step's masked network.

    Source: Papamakarios et al., NIPS 2017 (arXiv 1705.07057), eq. 3 to 5.
    """

    def __init__(self, d: int, steps: int = 5, hidden: Sequence[int] = (128, 128)) -> None:
        super().__init__()
        self.orders = [range(d)[:: 1 if step % 2 == 0 else -1] for step in range(steps)]
        self.steps = nn.ModuleList(MADE(order, hidden, 2) for order in self.orders)
        for step in self.steps:
            nn.init.zeros_(step.last.weight)  # type: ignore[union-attr, arg-type]
            nn.init.zeros_(step.last.bias)  # type: ignore[union-attr, arg-type]

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) of ``[N, d]``, ``[N]`` nats."""
        total = torch.zeros_like(z[:, 0])
        for step in self.steps:
            mean, log_std = step(z).unbind(1)
            log_std = log_std.clamp(-BOUND, BOUND)
            z = (z - mean) * torch.exp(-log_std)
            total = total - log_std.sum(1)
        return total - 0.5 * (z.square().sum(1) + z.shape[1] * math.log(2 * math.pi))

    def inverse(self, u: Tensor) -> Tensor:
        """The z ``[N, d]`` of u, one dimension after the other."""
        for step, order in zip(reversed(self.steps), reversed(self.orders), strict=True):
            z = torch.zeros_like(u)
            for i in order:
                mean, log_std = step(z)[:, :, i].unbind(1)
                z[:, i] = u[:, i] * log_std.clamp(-BOUND, BOUND).exp() + mean
            u = z
        return u


def fit(codes: Codes, seed: int = 0, steps: int = 5, hidden: tuple[int, ...] = (128, 128), epochs: int = 20) -> Sampler:
    """A flow's density of z, by maximum likelihood.

    Args:
        codes: of the training examples; standardised for the flow.
        seed: unused, the noise is seeded already.
        steps: number of steps of the flow, >= 1.
        hidden: widths of each step's masked network.
        epochs: passes over the codes.

    Raises:
        UsageError: ``steps`` is below 1, or the codes are not vectors of moderate size.

    Source: Ghosh et al., ICLR 2020, section 4: a density of the codes after training; here a flow, not a mixture.
    """
    if steps < 1:
        raise UsageError(f"steps={steps} must be at least 1")
    z, mean, std = standardised(codes.flat)
    flow = MaskedAutoregressiveFlow(z.shape[1], steps, hidden)
    train(flow, lambda batch: -flow.log_prob(batch).mean(), z, epochs)

    @torch.no_grad()
    def sampler(n: int) -> Tensor:
        return codes.shaped(flow.inverse(noise.normal((n, z.shape[1]), z)) * std + mean)

    return sampler
