"""A network that judges, and whose features measure distances."""

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
        return self.logit(self.network(x)).squeeze(-1)

    def distortion(self, x: Tensor, other: Tensor) -> Tensor:
        """Half the squared distance of the features, ``[N]`` nats of a unit Gaussian up to a constant."""
        return 0.5 * (self.network(x) - self.network(other)).square().sum(1)
