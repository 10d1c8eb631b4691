"""How much networks move with their inputs: measures of it, and a bound on it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import jvp, vmap
from torch.nn.utils.parametrizations import spectral_norm


def squared_jacobian(f: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    r"""Squared Frobenius norm :math:`\|\partial f(z) / \partial z\|_F^2` of each example, ``[B]``, exactly.

    One forward pass per dimension of z, so it suits functions with few inputs and many outputs.

    Args:
        f: maps ``[B, *inputs]`` to ``[B, *outputs]``, each example by itself.
        z: where, ``[B, *inputs]``.
    """
    size = z[0].numel()
    e = torch.eye(size).to(z).reshape(size, 1, *z.shape[1:]).expand(-1, *z.shape)  # [d, B, *inputs]
    columns = vmap(lambda v: jvp(f, (z,), (v,))[1])(e)  # [d, B, *outputs]
    return columns.flatten(2).square().sum((0, 2))


def squared_weights(*networks: nn.Module) -> Tensor:
    """Sum of the squared weights (matrices and kernels, not biases) of the networks, ``[]``."""
    weights = [p for network in networks for p in network.parameters() if p.ndim > 1]
    return torch.stack([weight.square().sum() for weight in weights]).sum()


def normalise_layers(*networks: nn.Module) -> None:
    """Divides every dense and convolutional layer's matrix by its largest singular value, from now on.

    The value comes from one step of power iteration per training pass. Source: Miyato et al., ICLR 2018, algorithm 1.
    """
    for network in networks:
        for layer in list(network.modules()):
            if isinstance(layer, nn.Linear | nn.modules.conv._ConvNd):
                spectral_norm(layer)
