"""What a data loader yields."""

from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """A batch of B examples.

    Args:
        x: data, ``[B, *event]``, float32; pictures lie in [0, 1] whatever the likelihood.
        y: labels, long ``[B]`` with -1 for "hidden", or float ``[B, *]``; None without labels.
        index: position of each example in its split, long ``[B]``.
    """

    x: Tensor
    y: Tensor | None
    index: Tensor  # type: ignore[assignment]  # it hides tuple.index, which nobody needs here

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on a device."""
        if self.x.device == device:
            return self
        return Batch(self.x.to(device), None if self.y is None else self.y.to(device), self.index.to(device))
