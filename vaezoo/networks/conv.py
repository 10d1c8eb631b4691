"""Convolutional networks without normalisation, for pictures of any size."""

from math import prod

from torch import Tensor, nn

from vaezoo.networks.layers import activation_layer, widths
from vaezoo.networks.pictures import (
    Finish,
    Size,
    Start,
    input_channels,
    is_grid,
    is_picture,
    joined_channels,
    picture,
    sizes,
)
from vaezoo.shapes import Shapes


def halve(inputs: int, outputs: int, before: Size, after: Size) -> nn.Conv2d:
    """A convolution from a map of size ``before`` to size ``after``, its half rounded up or the same."""
    return nn.Conv2d(inputs, outputs, 3, stride=1 if before == after else 2, padding=1)


def double(inputs: int, outputs: int, before: Size, after: Size) -> nn.Module:
    """The transposed convolution that undoes the sizes of `halve`."""
    if before == after:
        return nn.Conv2d(inputs, outputs, 3, padding=1)
    extra = ((after[0] + 1) % 2, (after[1] + 1) % 2)  # an odd size is reached without padding
    return nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=extra)


class Encoder(nn.Module):
    """Strided convolutions, each followed by the activation; a vector x is read as a picture of one row.

    A vector c is spread over all positions and a picture c is joined, both as further channels.

    Args:
        shapes: sizes of the data, the latent and the condition.
        channels: channels of each layer, first the one that reads x; each halves height and width, rounded up,
            until the grid of a grid latent is reached.
        activation: relu, gelu, silu, tanh, softplus, sigmoid or leaky_relu.

    Raises:
        UsageError: a width is below 1, the activation is unknown, or the sizes do not fit each other.
    """

    def __init__(self, shapes: Shapes, channels: tuple[int, ...] = (32, 64, 128), activation: str = "relu") -> None:
        super().__init__()
        outputs = widths("encoder.channels", channels, at_least=1)
        inputs = [input_channels(shapes), *outputs]
        size = sizes(shapes, len(outputs))
        layers: list[nn.Module] = []
        for k, after in enumerate(outputs):
            layers += [halve(inputs[k], after, size[k], size[k + 1]), activation_layer(activation)]
        self.layers = nn.Sequential(*layers)
        self.picture = picture(shapes.event)
        last = (outputs[-1], *size[-1])
        self.features = last if is_grid(shapes.latent) else (prod(last),)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Maps x ``[N, *event]`` and c ``[N, *condition]`` to ``[N, F]``, or ``[N, F, h, w]`` for grid latents."""
        return self.layers(joined_channels(x.reshape(len(x), *self.picture), c)).reshape(len(x), *self.features)


class Decoder(nn.Module):
    """The mirror of `Encoder`: transposed convolutions from z to features as high and wide as x.

    The features have half as many channels as the layer before them.
    A vector c is joined with z; a picture c is read by an `Encoder` of its own.

    Args:
        shapes: sizes of the data, the latent and the condition.
        channels: channels of each layer in the encoder's order, so that the last one is next to z.
        activation: relu, gelu, silu, tanh, softplus, sigmoid or leaky_relu.

    Raises:
        UsageError: a width is below 1, the activation is unknown, or the sizes do not fit each other.
    """

    def __init__(self, shapes: Shapes, channels: tuple[int, ...] = (32, 64, 128), activation: str = "relu") -> None:
        super().__init__()
        inputs = widths("decoder.channels", channels, at_least=1)[::-1]
        outputs = [*inputs[1:], max(1, inputs[-1] // 2)]  # full resolution costs most of the time
        size = sizes(shapes, len(inputs))[::-1]
        first = (inputs[0], *size[0])
        reader = None
        if is_picture(shapes):
            reader = Encoder(shapes.replace(event=shapes.condition, condition=(), latent=first), channels, activation)
        layers = [activation_layer(activation)]
        for k, before in enumerate(inputs):
            layers += [double(before, outputs[k], size[k], size[k + 1]), activation_layer(activation)]
        self.start = Start(shapes, first, reader)
        self.layers = nn.Sequential(*layers)
        self.finish = Finish(shapes.event, outputs[-1])
        self.features = self.finish.features

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Maps z ``[N, *latent]`` and c ``[N, *condition]`` to ``[N, C, H, W]``, or ``[N, D]`` for vector events."""
        return self.finish(self.layers(self.start(z, c)))
