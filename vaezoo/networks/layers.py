"""What the networks share: named activations, checked widths and joined inputs."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from vaezoo.errors import UsageError, near

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "sigmoid": nn.Sigmoid,
    "leaky_relu": nn.LeakyReLU,
}


def activation_layer(name: str) -> nn.Module:
    """A new activation layer.

    Raises:
        UsageError: no activation has this name.
    """
    if name not in ACTIVATIONS:
        raise UsageError(f"activation={name!r} is not one of {', '.join(ACTIVATIONS)}{near(name, ACTIVATIONS)}")
    return ACTIVATIONS[name]()


def widths(argument: str, values: Sequence[int], at_least: int = 0) -> list[int]:
    """The layer widths as a list.

    Raises:
        UsageError: a width is below 1, or there are fewer than ``at_least``.
    """
    if len(values) < at_least or any(value < 1 for value in values):
        raise UsageError(f"{argument}={list(values)} must list at least {at_least} widths, each >= 1")
    return list(values)


def flat_size(*shapes: tuple[int, ...]) -> int:
    """Number of values in the given shapes together; ``()`` stands for no input and counts 0."""
    return sum(prod(shape) for shape in shapes if shape)


def joined(x: Tensor, c: Tensor | None) -> Tensor:
    """x and c flattened and concatenated, ``[N, D + K]``."""
    return x.flatten(1) if c is None else torch.cat([x.flatten(1), c.flatten(1)], dim=1)


def refuse_grid(latent: tuple[int, ...], network: str) -> None:
    """Refuses a grid latent where a network's features are a vector.

    Raises:
        UsageError: the latent is a grid.
    """
    if len(latent) == 3:
        raise UsageError(
            f"encoder={network} gives a vector, but latent={list(latent)} is a grid: "
            "use encoder=conv or encoder=resnet, or a latent of one size"
        )
