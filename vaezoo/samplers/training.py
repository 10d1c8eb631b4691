"""How the samplers that are networks are trained."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vaezoo.distributions import noise

BATCH, LR = 256, 1e-3
LEAST, MOST = 1000, 4000  # steps


def standardised(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Codes ``[N, D]`` with mean 0 and variance 1 in each dimension, their mean and their standard deviation."""
    mean, std = z.mean(0), z.std(0).clamp(min=1e-6)
    return (z - mean) / std, mean, std


@torch.enable_grad()
def train(network: nn.Module, loss: Callable[[Tensor], Tensor], z: Tensor, epochs: int) -> None:
    """Minimises the loss with Adam, whose rate falls to 0, in 1000 to 4000 steps; the network is then in eval mode.

    Args:
        network: moved to where the codes are.
        loss: batch of codes ``[B, D]`` to the minimised scalar.
        z: codes, ``[N, D]``.
        epochs: passes over the codes, as far as that gives a number of steps in bounds.
    """
    network.to(z.device).train()
    optimizer = torch.optim.Adam(network.parameters(), LR)
    steps = min(MOST, max(LEAST, epochs * len(z) // BATCH))
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    order = z.new_empty(0, dtype=torch.long)
    for _ in range(steps):
        if len(order) < min(BATCH, len(z)):
            order = noise.uniform((len(z),), z).argsort()
        batch, order = z[order[:BATCH]], order[BATCH:]
        optimizer.zero_grad()
        loss(batch).backward()
        optimizer.step()
        decay.step()
    network.eval()
