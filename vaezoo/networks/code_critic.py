"""A critic of codes."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import Tensor, nn

from vaezoo.networks.critic import Critic
from vaezoo.networks.layers import widths


class _Layers(nn.Module):
    def __init__(self, inputs: int, hidden: Sequence[int], slope: float) -> None:
        super().__init__()
        pairs = pairwise([inputs, *hidden])
        self.layers = nn.Sequential(*(m for a, b in pairs for m in (nn.Linear(a, b), nn.LeakyReLU(slope))))
        self.features = ([inputs, *hidden][-1],)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z.flatten(1))


def code_critic(latent: tuple[int, ...], hidden: Sequence[int], slope: float) -> Critic:
    """Dense layers from the flattened code to a logit, ``[N]``.

    Args:
        latent: shape of one code.
        hidden: width of each layer, first the one that reads the code.
        slope: of the leaky rectifiers below 0; 0 gives plain ones.

    Raises:
        UsageError: a width is below 1.
    """
    return Critic(_Layers(prod(latent), widths("variant.hidden", hidden), slope))
