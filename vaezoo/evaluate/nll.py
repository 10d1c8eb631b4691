"""The negative log-likelihood and its units."""

from math import log
from typing import NamedTuple

from torch import Tensor

from vaezoo.evaluate.mean import Mean
from vaezoo.shapes import Shapes
from vaezoo.variational import Variational


class Estimate(NamedTuple):
    """A mean over examples and its standard error, in nats."""

    mean: Tensor
    standard_error: Tensor


class ImportanceWeightedNLL(Mean):
    r"""Upper bound on the negative log-likelihood from exactly k importance samples per example.

    .. math:: \mathrm{NLL}_k = \frac1N \sum_n \ell_n,\quad
              \ell_n = -\log \frac1k \sum_{i=1}^k \frac{p(x_n, z_i)}{q(z_i|x_n)},\ z_i \sim q(z|x_n)

    Its standard error is :math:`\sqrt{\sum_n (\ell_n - \mathrm{NLL}_k)^2 / (N (N - 1))}`.

    Args:
        k: importance samples, >= 1; the bound falls with k.

    Source: Burda et al., ICLR 2016 (arXiv 1509.00519), eq. 8.
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def update(self, model: Variational, x: Tensor, c: Tensor | None = None) -> None:  # type: ignore[override]
        """Adds data ``x [B, *event]`` under conditions ``c [B, *condition]``."""
        super().update(-model.log_likelihood(x, self.k, c))

    def compute(self) -> Estimate:  # type: ignore[override]
        """Mean and standard error over the examples; the latter is NaN for a single example."""
        return Estimate(super().compute(), (self.variance() / (self.count - 1)).sqrt())


def bits_per_dim(nll: float, shapes: Shapes, discrete: bool) -> float:
    r"""Bits per dimension of the stored 8-bit (or binary) data, :math:`\mathrm{NLL} / (D \ln 2)`.

    For a density of dequantised data (k + u)/256 it is :math:`\mathrm{NLL} / (D \ln 2) + 8`, an upper bound.

    Args:
        nll: negative log-likelihood, nats per example.
        shapes: gives D and where x lives.
        discrete: whether p(x|z) is a probability mass.
    """
    bits = nll / (shapes.dimensions * log(2))
    return bits if discrete else bits + 8
