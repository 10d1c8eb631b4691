"""The coarser of two levels of codes, and what it tells the finer one."""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, nn

from vaezoo.distributions.codes import Codes
from vaezoo.errors import UsageError
from vaezoo.shapes import Shapes


class Told(NamedTuple):
    """What `TopLevel` gives: its codes, their map for the decoder ``[B, *embedded]`` and the bottom's features."""

    q: Codes
    above: Tensor
    features: Tensor


class TopLevel(nn.Module):
    """Halves the encoder's features, quantises them, and adds a map of the codes to the features of the bottom level.

    Args:
        shapes: reads ``latent`` ``(d, h, w)`` of the bottom level and ``features`` ``(F, h, w)`` of the encoder.
        embedded: shape of what the decoder reads.
        quantizer: factory of the top's quantizer.

    Raises:
        UsageError: the latent is no grid of at least 2 x 2.
    """

    def __init__(self, shapes: Shapes, embedded: tuple[int, ...], quantizer: Callable[[Shapes], nn.Module]) -> None:
        super().__init__()
        if len(shapes.latent) != 3 or len(shapes.features) != 3 or min(shapes.latent[1:]) < 2:
            raise UsageError(f"two levels need a grid latent of at least 2x2, such as [64,4,4], not {shapes.latent}")
        (d, *grid), width = shapes.latent, shapes.features[0]
        half = tuple(-(-size // 2) for size in grid)
        self.down = nn.Sequential(nn.Conv2d(width, width, 3, stride=2, padding=1), nn.ReLU())
        made: Any = quantizer(shapes.replace(latent=(d, *half), features=(width, *half)))
        self.quantizer = made
        self.up = nn.Sequential(nn.Upsample(tuple(grid)), nn.Conv2d(made.embedded[0], embedded[0], 3, padding=1))
        self.mix = nn.Conv2d(embedded[0], width, 1, bias=False)

    def forward(self, h: Tensor) -> Told:
        """Codes and maps of the encoder's features ``h [B, F, h, w]``."""
        q = self.quantizer(self.down(h))
        above = self.up(q.rsample())
        return Told(q, above, h + self.mix(above))

    def above(self, z: Tensor) -> Tensor:
        """What the decoder reads of codes ``z [B, *event]``, ``[B, *embedded]``."""
        return self.up(self.quantizer.embed(z))

    def fit(self, h: Tensor) -> None:
        """Starts the quantizer from the encoder's features."""
        self.quantizer.fit(self.down(h))
