"""What the data and the choice of latent size fix for every part of a model."""

import dataclasses
from dataclasses import dataclass
from math import prod

from torch import Tensor


@dataclass(frozen=True)
class Shapes:
    """The sizes that parts are built from.

    Args:
        event: shape of one example, ``(C, H, W)`` for pictures or ``(D,)`` for vectors.
        latent: shape of one latent, ``(d,)`` for vectors or ``(d, h, w)`` for grids.
        features: shape of what a head reads: an encoder's output for posteriors, a decoder's output for likelihoods.
        condition: shape of the condition c, ``()`` where there is none.
        classes: number of labels, 0 without labels.
        label: shape of y where it is floats, ``()`` for class labels and without labels.
        codes: for the prior of discrete codes, how many values each code may take; 0 for other latents.
        curvature: for the prior on a ball, c of the posterior's curvature -c; 0 for other latents.
        train_size: number of training examples.
        support: where x lives: ``binary`` {0, 1}, ``levels`` {k/255}, ``unit`` [0, 1] (dequantised) or ``real``.
        range: smallest and largest value x may take.
        mean: mean training example, ``[*event]``, or None; output biases start from it.
    """

    event: tuple[int, ...]
    latent: tuple[int, ...]
    features: tuple[int, ...] = ()
    condition: tuple[int, ...] = ()
    classes: int = 0
    label: tuple[int, ...] = ()
    codes: int = 0
    curvature: float = 0.0
    train_size: int = 1
    support: str = "real"
    range: tuple[float, float] = (0.0, 1.0)
    mean: Tensor | None = None

    def replace(self, **changes) -> "Shapes":
        """A copy with some fields changed, e.g. ``shapes.replace(features=encoder.features)``."""
        return dataclasses.replace(self, **changes)

    @property
    def dimensions(self) -> int:
        """Number of values in one example, D."""
        return prod(self.event)
