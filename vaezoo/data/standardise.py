"""Vectors and signals brought to mean 0 and standard deviation 1, and back."""

from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vaezoo.data.mapped import CHUNK, Mapped

ABSURD = 1e3  # ratio of standard deviations from which standardising is proposed


class Scale(NamedTuple):
    r""":math:`x' = (x - m) / s` for each column of vectors ``[N, D]`` or channel of signals ``[N, C, T]``.

    Args:
        mean: m, float32 ``[D]`` or ``[C, 1]``.
        deviation: s, of the same shape; 1 where all values are equal.
    """

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, x: Tensor | Mapped) -> "Scale":
        """Mean and standard deviation of examples, in two passes in float64."""
        mean, deviation = _moments(x)
        return cls(mean.float(), torch.where(deviation > 0, deviation, 1.0).float())

    @classmethod
    def read(cls, values: dict[str, Any]) -> "Scale":
        """The inverse of :meth:`write`."""
        return cls(torch.tensor(values["mean"]), torch.tensor(values["deviation"]))

    def write(self) -> dict[str, Any]:
        """Plain values, for run.json."""
        return {"mean": self.mean.tolist(), "deviation": self.deviation.tolist()}

    def apply(self, x: Tensor) -> Tensor:
        """``[N, *event]`` in units of the data, standardised."""
        return (x - self.mean.to(x.device)) / self.deviation.to(x.device)

    def undo(self, x: Tensor) -> Tensor:
        """``[N, *event]`` of a model, in units of the data."""
        return x * self.deviation.to(x) + self.mean.to(x)

    def log_volume(self, event: tuple[int, ...]) -> float:
        r""":math:`\sum_i \log s_i`: the NLL of the data is that of the standardised data plus this, in nats."""
        return float(self.deviation.double().log().expand(event).sum())


def ratio(x: Tensor | Mapped) -> float:
    """The largest standard deviation of a column or channel over the smallest that is not 0."""
    _, deviation = _moments(x)
    deviation = deviation[deviation > 0]
    return float(deviation.max() / deviation.min()) if deviation.numel() else 1.0


def _moments(x: Tensor | Mapped) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, float64; the latter is 0 where float32 cannot tell the values apart."""
    count = len(x) * prod(_event(x)[1:])
    mean: Any = sum(_summed(rows) for rows in _pieces(x)) / count
    variance: Any = sum(_summed((rows - mean).square()) for rows in _pieces(x)) / count
    deviation = variance.sqrt()
    return mean, torch.where(deviation > mean.abs() * 2**-24, deviation, 0.0)


def _pieces(x: Tensor | Mapped) -> Iterator[Tensor]:
    step = max(1, CHUNK // (8 * prod(_event(x))))
    for start in range(0, len(x), step):
        rows = x[start : start + step] if isinstance(x, Tensor) else x.decode(range(start, min(start + step, len(x))))
        yield rows.double()


def _summed(rows: Tensor) -> Tensor:
    """Over examples, and over the times of signals: ``[D]`` or ``[C, 1]``."""
    return rows.sum(0) if rows.ndim == 2 else rows.sum((0, 2))[:, None]


def _event(x: Tensor | Mapped) -> tuple[int, ...]:
    return tuple(x.shape[1:]) if isinstance(x, Tensor) else x.shape
