"""A dense network that reads its inputs in an order."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaezoo.errors import UsageError


class MaskedLinear(nn.Linear):
    """A dense layer in which a unit of degree g reads the units of degree at most g.

    Args:
        inputs: degree of each input, long ``[I]``.
        outputs: degree of each output, long ``[O]``.
    """

    def __init__(self, inputs: Tensor, outputs: Tensor) -> None:
        super().__init__(len(inputs), len(outputs))
        self.mask: Tensor
        self.register_buffer("mask", (outputs[:, None] >= inputs).float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``[..., I]`` to ``[..., O]``."""
        return F.linear(x, self.weight * self.mask, self.bias)


class MADE(nn.Module):
    r"""A dense network whose outputs for a dimension depend on the dimensions before it, and on a context.

    .. math:: \frac{\partial\,\mathrm{out}_i}{\partial z_j} = 0 \quad\text{unless } j \text{ comes before } i

    A hidden unit of degree g in [0, d) reads the first g dimensions of the order; degrees are spread evenly, as in the
    paper's "regular" masks, and do not change. Units of degree 0 see the context alone, so that the first dimension
    depends on it too.

    Args:
        order: the dimensions, first the one that depends on no other; a permutation of 0, ..., d - 1.
        hidden: width of each hidden layer, at least one.
        outputs: number of outputs per dimension.
        context: number of values in the context, 0 for none.

    Source: Germain et al., ICML 2015 (arXiv 1502.03509), eq. 12 and 13.
    """

    def __init__(self, order: Sequence[int], hidden: Sequence[int], outputs: int, context: int = 0) -> None:
        super().__init__()
        d = len(order)
        place = torch.empty(d, dtype=torch.long)
        place[list(order)] = torch.arange(d)
        degrees = [place + 1, *(torch.linspace(0, d - 1, width).round().long() for width in hidden)]
        self.layers = nn.ModuleList(MaskedLinear(before, after) for before, after in pairwise(degrees))
        self.last = MaskedLinear(degrees[-1], place.repeat(outputs))
        self.context = nn.Linear(context, hidden[0], bias=False) if context else None
        self.outputs = (outputs, d)

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Maps z ``[..., B, d]`` and :attr:`context` of the features ``[B, hidden]`` to ``[..., B, outputs, d]``."""
        for layer in self.layers:
            z = layer(z)
            if context is not None:
                z, context = z + context, None  # into the first layer
            z = F.elu(z)
        return self.last(z).unflatten(-1, self.outputs)


def checked_order(argument: str, order: Sequence[int], d: int) -> tuple[int, ...]:
    """The order, or 0, ..., d - 1 for an empty one.

    Raises:
        UsageError: it is no permutation of the dimensions.
    """
    if order and sorted(order) != list(range(d)):
        raise UsageError(f"{argument}={list(order)} must be a permutation of the {d} dimensions 0, ..., {d - 1}")
    return tuple(order) or tuple(range(d))
