"""What convolutional networks share: sizes of pictures and grids, and where a condition enters."""

from math import prod

import torch
from torch import Tensor, nn

from vaezoo.errors import UsageError
from vaezoo.networks.layers import flat_size, joined
from vaezoo.shapes import Shapes

Size = tuple[int, int]


def picture(event: tuple[int, ...]) -> tuple[int, int, int]:
    """The event as ``(C, H, W)``; a vector ``(D,)`` is a picture of one row.

    Raises:
        UsageError: the event is neither a picture nor a vector.
    """
    if len(event) == 1:
        return (1, 1, event[0])
    if len(event) == 3:
        return (event[0], event[1], event[2])
    raise UsageError(f"convolutions need events (C, H, W) or (D,), not {event}: use encoder=mlp and decoder=mlp")


def is_grid(latent: tuple[int, ...]) -> bool:
    """Whether a latent is a grid ``(d, h, w)``; everything else is read as a vector."""
    return len(latent) == 3


def sizes(shapes: Shapes, levels: int) -> list[Size]:
    """Height and width before and after each of the levels, every step halving them, rounded up.

    The steps go down to the grid of the latent and then stay there; for a vector latent all of them halve.

    Raises:
        UsageError: no number of steps leads to the grid of the latent.
    """
    height, width = picture(shapes.event)[1:]
    halved = [(height, width)]
    for _ in range(levels):
        height, width = -(-height // 2), -(-width // 2)
        halved.append((height, width))
    if not is_grid(shapes.latent):
        return halved
    grid = (shapes.latent[1], shapes.latent[2])
    if grid not in halved:
        reachable = ", ".join(f"{h}x{w}" for h, w in dict.fromkeys(halved))
        raise UsageError(
            f"latent={list(shapes.latent)} asks for a grid of {grid[0]}x{grid[1]}, but {levels} halvings of "
            f"{shapes.event} reach only {reachable}"
        )
    steps = halved.index(grid)
    return halved[: steps + 1] + [grid] * (levels - steps)


def is_picture(shapes: Shapes) -> bool:
    """Whether the condition is a picture, which must be as high and wide as the event; vectors are not.

    Raises:
        UsageError: the condition is a picture of another height or width.
    """
    if len(shapes.condition) != 3:
        return False
    if shapes.condition[1:] != picture(shapes.event)[1:]:
        raise UsageError(
            f"a condition of shape {shapes.condition} has not the height and width of events {shapes.event}: "
            "use encoder=mlp and decoder=mlp, or give the condition as a vector"
        )
    return True


def joined_channels(x: Tensor, c: Tensor | None) -> Tensor:
    """x ``[N, C, H, W]`` and c as further channels: a picture as it is, a vector spread over all positions."""
    if c is None:
        return x
    if c.ndim != 4:
        c = c.flatten(1)[:, :, None, None].expand(-1, -1, *x.shape[2:])
    return torch.cat([x, c], dim=1)


def input_channels(shapes: Shapes) -> int:
    """Channels that an encoder reads: those of x and those of c."""
    return picture(shapes.event)[0] + (shapes.condition[0] if is_picture(shapes) else flat_size(shapes.condition))


class Start(nn.Module):
    """The decoder's first map, linear in z and in a vector c; a picture c is read by an encoder and added.

    Args:
        shapes: sizes of the latent and the condition.
        first: shape ``(C, h, w)`` of the map.
        reader: encoder that turns a picture c into ``[N, C, h, w]``; None for a vector c or none.
    """

    def __init__(self, shapes: Shapes, first: tuple[int, int, int], reader: nn.Module | None) -> None:
        super().__init__()
        self.first, self.reader, self.grid = first, reader, is_grid(shapes.latent)
        vector = () if reader else shapes.condition
        self.linear: nn.Module
        if self.grid:
            self.linear = nn.Conv2d(shapes.latent[0] + flat_size(vector), first[0], 3, padding=1)
        else:
            self.linear = nn.Linear(flat_size(shapes.latent, vector), prod(first))

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Maps z ``[N, *latent]`` and c ``[N, *condition]`` to ``[N, C, h, w]``."""
        vector = None if self.reader else c
        if self.grid:
            h = self.linear(joined_channels(z, vector))
        else:
            h = self.linear(joined(z, vector)).view(-1, *self.first)
        return h + self.reader(c) if self.reader else h


class Finish(nn.Module):
    """The decoder's last map as features: unchanged for pictures, one channel ``[N, D]`` for vectors.

    Args:
        event: shape of one example.
        channels: channels of the last map.
    """

    def __init__(self, event: tuple[int, ...], channels: int) -> None:
        super().__init__()
        vector = len(event) == 1
        self.features = event if vector else (channels, *event[1:])
        self.row = nn.Sequential(nn.Conv2d(channels, 1, 1), nn.Flatten()) if vector else nn.Identity()

    def forward(self, h: Tensor) -> Tensor:
        """Maps ``[N, C, H, W]`` to ``[N, *features]``."""
        return self.row(h)
