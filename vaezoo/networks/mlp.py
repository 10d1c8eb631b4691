"""Fully connected networks."""

from collections.abc import Sequence

from torch import Tensor, nn

from vaezoo.networks.layers import activation_layer, flat_size, joined, refuse_grid, widths
from vaezoo.shapes import Shapes


def stack(inputs: int, hidden: Sequence[int], activation: str) -> nn.Sequential:
    """Linear layers of the given widths, each followed by the activation; no layer at all is the identity."""
    layers: list[nn.Module] = []
    for before, after in zip([inputs, *hidden], hidden, strict=False):
        layers += [nn.Linear(before, after), activation_layer(activation)]
    return nn.Sequential(*layers)


class Encoder(nn.Module):
    """Dense layers from the flattened x, joined with the flattened c, to a feature vector.

    Args:
        shapes: sizes of the data, the latent and the condition; the latent is not a grid.
        hidden: width of each layer, first the one that reads x; an empty list gives a linear model.
        activation: relu, gelu, silu, tanh, softplus, sigmoid or leaky_relu.

    Raises:
        UsageError: a width is below 1, the activation is unknown or the latent is a grid.
    """

    def __init__(self, shapes: Shapes, hidden: tuple[int, ...] = (400, 400), activation: str = "relu") -> None:
        super().__init__()
        refuse_grid(shapes.latent, "mlp")
        inputs = flat_size(shapes.event, shapes.condition)
        self.layers = stack(inputs, widths("encoder.hidden", hidden), activation)
        self.features = ([inputs, *hidden][-1],)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Maps x ``[N, *event]`` and c ``[N, *condition]`` to ``[N, F]``."""
        return self.layers(joined(x, c))


class Decoder(nn.Module):
    """Dense layers from the flattened z, joined with the flattened c, to a feature vector.

    Args:
        shapes: sizes of the latent and the condition.
        hidden: width of each layer, first the one that reads z; an empty list gives a linear model.
        activation: relu, gelu, silu, tanh, softplus, sigmoid or leaky_relu.

    Raises:
        UsageError: a width is below 1 or the activation is unknown.
    """

    def __init__(self, shapes: Shapes, hidden: tuple[int, ...] = (400, 400), activation: str = "relu") -> None:
        super().__init__()
        inputs = flat_size(shapes.latent, shapes.condition)
        self.layers = stack(inputs, widths("decoder.hidden", hidden), activation)
        self.features = ([inputs, *hidden][-1],)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Maps z ``[N, *latent]`` and c ``[N, *condition]`` to ``[N, F]``."""
        return self.layers(joined(z, c))
