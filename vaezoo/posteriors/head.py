"""The layer from an encoder's features to the parameters of a posterior."""

from math import prod

from torch import nn

from vaezoo.errors import UsageError
from vaezoo.shapes import Shapes


def head(shapes: Shapes, outputs: tuple[int, ...]) -> nn.Linear | nn.Conv2d:
    """A linear layer for vector features, which gives the outputs flat; a 1x1 convolution for grids.

    Args:
        shapes: reads ``features`` and, for the message, ``latent``.
        outputs: shape of the parameters of one example, ``(n,)`` or ``(n, h, w)``.

    Raises:
        UsageError: the grid of the features is not that of the outputs.
    """
    if len(shapes.features) == 1:
        return nn.Linear(shapes.features[0], prod(outputs))
    if shapes.features[1:] == outputs[1:]:
        return nn.Conv2d(shapes.features[0], outputs[0], 1)
    raise UsageError(f"latent={shapes.latent} does not fit encoder features of shape {shapes.features}")
