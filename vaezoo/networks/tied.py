"""A layer and its transpose."""

import torch
from torch import Tensor, nn


class TiedLayer(nn.Module):
    """``f(x) = s(W x + b)`` and ``back(h) = t(W^T h + b')``: one matrix, two biases.

    Args:
        inputs: width of x.
        outputs: width of h.
        code: the function s.
        output: the function t.
    """

    def __init__(self, inputs: int, outputs: int, code: nn.Module, output: nn.Module) -> None:
        super().__init__()
        self.f = nn.Linear(inputs, outputs)
        self.bias = nn.Parameter(torch.zeros(inputs))
        self.code, self.output = code, output

    def forward(self, x: Tensor) -> Tensor:
        """f(x), ``[N, outputs]``."""
        return self.code(self.f(x))

    def back(self, h: Tensor) -> Tensor:
        """The decoder of the layer, ``[N, inputs]``."""
        return self.output(torch.addmm(self.bias, h, self.f.weight))
