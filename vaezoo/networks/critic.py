"""A network that judges, and whose features measure distances."""

import torch
from torch import Tensor, nn


class Critic(nn.Module):
    """A network with features ``[N, F]`` and a linear layer that reads a logit from them.

    Args:
        network: ``[N, *event] -> [N, F]``, with the attribute ``features``.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        features: tuple[int, ...] = network.features  # type: ignore[assignment]
        self.logit = nn.Linear(features[0], 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logit that x is real, ``[N]``."""
        return self.judge(self.network(x))

    def judge(self, h: Tensor) -> Tensor:
        """The logit of features ``h [N, F]``, ``[N]``."""
        return self.logit(h).squeeze(-1)

    def features(self, *x: Tensor) -> tuple[Tensor, ...]:
        """Features ``[N, F]`` of several batches of N pictures, in one pass."""
        return self.network(torch.cat(x)).chunk(len(x))


def distance(h: Tensor, other: Tensor) -> Tensor:
    """Half the squared distance of features, ``[N]`` nats of a unit Gaussian up to a constant."""
    return 0.5 * (h - other).square().sum(1)
