"""Residual convolutional networks with group normalisation, for pictures of any size."""

from math import gcd, prod

from torch import Tensor, nn

from vaezoo.errors import UsageError
from vaezoo.networks.conv import halve
from vaezoo.networks.layers import widths
from vaezoo.networks.pictures import Finish, Start, input_channels, is_grid, is_picture, joined_channels, picture, sizes
from vaezoo.shapes import Shapes


def normalised(channels: int) -> list[nn.Module]:
    """Group normalisation, up to 8 groups of at least 4 channels where these divide, and SiLU."""
    return [nn.GroupNorm(gcd(8, max(1, channels // 4), channels), channels), nn.SiLU()]


class Residual(nn.Module):
    r"""A pre-activation block, :math:`h + f(h)` with two normalised 3x3 convolutions in f.

    Source: He et al., "Identity mappings in deep residual networks", ECCV 2016, figure 4e.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [*normalised(channels), nn.Conv2d(channels, channels, 3, padding=1)]
        self.change = nn.Sequential(*layers)

    def forward(self, h: Tensor) -> Tensor:
        """Maps ``[N, C, H, W]`` to the same shape."""
        return h + self.change(h)


def residuals(argument: str, blocks: int, channels: int) -> list[nn.Module]:
    """The blocks of one level.

    Raises:
        UsageError: ``blocks`` is negative.
    """
    if blocks < 0:
        raise UsageError(f"{argument}={blocks} must be >= 0")
    return [Residual(channels) for _ in range(blocks)]


class Encoder(nn.Module):
    """Levels of a strided convolution and residual blocks; a vector x is read as a picture of one row.

    A vector c is spread over all positions and a picture c is joined, both as further channels.

    Args:
        shapes: sizes of the data, the latent and the condition.
        channels: channels of each level, first the one that reads x; each halves height and width, rounded up,
            until the grid of a grid latent is reached.
        blocks: residual blocks per level, >= 0.

    Raises:
        UsageError: a width is below 1, ``blocks`` is negative, or the sizes do not fit each other.
    """

    def __init__(self, shapes: Shapes, channels: tuple[int, ...] = (32, 64, 128), blocks: int = 1) -> None:
        super().__init__()
        outputs = widths("encoder.channels", channels, at_least=1)
        inputs = [input_channels(shapes), *outputs]
        size = sizes(shapes, len(outputs))
        layers: list[nn.Module] = []
        for k, after in enumerate(outputs):
            layers.append(halve(inputs[k], after, size[k], size[k + 1]))
            layers += residuals("encoder.blocks", blocks, after)
        self.layers = nn.Sequential(*layers, *normalised(outputs[-1]))
        self.picture = picture(shapes.event)
        last = (outputs[-1], *size[-1])
        self.features = last if is_grid(shapes.latent) else (prod(last),)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Maps x ``[N, *event]`` and c ``[N, *condition]`` to ``[N, F]``, or ``[N, F, h, w]`` for grid latents."""
        return self.layers(joined_channels(x.reshape(len(x), *self.picture), c)).reshape(len(x), *self.features)


class Decoder(nn.Module):
    """The mirror of `Encoder`: residual blocks and upsampling from z to features as high and wide as x.

    A vector c is joined with z; a picture c is read by an `Encoder` of its own.

    Args:
        shapes: sizes of the data, the latent and the condition.
        channels: channels of each level in the encoder's order, so that the last one is next to z.
        blocks: residual blocks per level, >= 0.

    Raises:
        UsageError: a width is below 1, ``blocks`` is negative, or the sizes do not fit each other.
    """

    def __init__(self, shapes: Shapes, channels: tuple[int, ...] = (32, 64, 128), blocks: int = 1) -> None:
        super().__init__()
        inputs = widths("decoder.channels", channels, at_least=1)[::-1]
        outputs = [*inputs[1:], inputs[-1]]
        size = sizes(shapes, len(inputs))[::-1]
        first = (inputs[0], *size[0])
        reader = None
        if is_picture(shapes):
            reader = Encoder(shapes.replace(event=shapes.condition, condition=(), latent=first), channels, blocks)
        layers: list[nn.Module] = []
        for k, before in enumerate(inputs):
            layers += residuals("decoder.blocks", blocks, before)
            layers += [nn.Upsample(size[k + 1]), nn.Conv2d(before, outputs[k], 3, padding=1)]
        self.start = Start(shapes, first, reader)
        self.layers = nn.Sequential(*layers, *normalised(outputs[-1]))
        self.finish = Finish(shapes.event, outputs[-1])
        self.features = self.finish.features

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Maps z ``[N, *latent]`` and c ``[N, *condition]`` to ``[N, C, H, W]``, or ``[N, D]`` for vector events."""
        return self.finish(self.layers(self.start(z, c)))
