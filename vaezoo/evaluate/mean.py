"""Means over examples, on one process or several."""

import torch
from torch import Tensor
from torchmetrics import Metric


class Mean(Metric):
    r"""The mean over examples of anything that is summed over the dimensions of an example: distortion, rate, ELBO.

    .. math:: \bar v = \frac1N \sum_n v_n

    Sums are kept in double precision, so the result does not depend on batches and processes.
    """

    full_state_update = False
    total: Tensor
    squares: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("total", "squares", "count"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, values: Tensor) -> None:
        """Adds ``values [B, *]``."""
        values = values.double()
        self.total = self.total + values.sum(0)
        self.squares = self.squares + values.square().sum(0)
        self.count = self.count + len(values)

    def compute(self) -> Tensor:
        """The mean, ``[*]``."""
        return self.total / self.count

    def variance(self) -> Tensor:
        """Population variance over the examples that this process has seen, ``[*]``."""
        return (self.squares / self.count - (self.total / self.count).square()).clamp(min=0)


class SquaredError(Mean):
    r"""Mean over examples of :math:`\|x - \hat x\|^2`, summed over dimensions."""

    def update(self, x: Tensor, reconstruction: Tensor) -> None:  # type: ignore[override]
        """Adds x and its reconstruction, ``[B, *event]`` each."""
        super().update((x - reconstruction).double().square().flatten(1).sum(1))
