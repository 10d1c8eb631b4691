"""The angle between a direction and the mean direction of a von Mises-Fisher distribution."""

import math
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.types import _size

from vaezoo.distributions import noise

NODES = 96  # of the Gauss-Legendre rule: errors of log Z and of the mean cosine are below 1e-9 for every m and kappa
CELLS = 256  # of the table of the distribution function
REACH = 10.0  # of rule and table, in widths of the density either side of its mode
NEWTON = 5  # steps of the inversion within a cell


class Table(NamedTuple):
    """F = P(angle < theta) at equally spaced theta, ``[N, CELLS + 1]`` each, and what the interpolation needs."""

    theta: Tensor
    cumulative: Tensor  # F
    density: Tensor  # dF / dtheta
    slope: Tensor  # dF / dkappa
    slope_density: Tensor  # its derivative by theta


class PolarAngle:
    r"""The angle theta in [0, pi] between z and mu, for z from a von Mises-Fisher distribution on the sphere in R^m.

    .. math:: f(\theta) = \frac{\sin^{m-2}\theta \; e^{\kappa(\cos\theta - 1)}}{Z(\kappa)},\quad
              Z(\kappa) = \frac{\sqrt\pi\,\Gamma(\tfrac{m-1}2)}{(\kappa/2)^{m/2-1}} \, I_{m/2-1}(\kappa) \, e^{-\kappa}

    The Bessel functions are this integral, and their ratio is its mean cosine. Both are taken by one Gauss-Legendre
    rule around the mode, in double precision: autograd then gives derivatives of any order, on any device.

    A sample inverts F, of which the same rule gives a table. Its gradient is implicit and exact,
    :math:`d\theta/d\kappa = -\partial_\kappa F / f`: no proposal is ever rejected, so none needs a correction.

    Args:
        dimension: m of the ambient space, >= 2.
        concentration: kappa > 0, ``[*B]``.
    """

    def __init__(self, dimension: int, concentration: Tensor) -> None:
        self.power, self.dtype, self.shape = dimension - 2, concentration.dtype, concentration.shape
        self.kappa = concentration.double().reshape(-1, 1)  # [N, 1]
        kappa = self.kappa.detach()
        width = 2 / (self.power + (self.power**2 + 4 * kappa.square()).sqrt())  # cos(mode) / kappa, a variance
        mode = torch.acos((kappa * width).clamp(max=1))
        low = (mode - REACH * width.sqrt()).clamp(min=0)
        self.start, self.length = low, (mode + REACH * width.sqrt()).clamp(max=math.pi) - low
        nodes, log_weights, self.integrals, self.grid = _rule(kappa.device)
        self.theta = self.start + self.length * nodes  # [N, NODES]
        self.log_mass = log_weights + self.length.log() + self._log_kernel(self.theta)
        self.log_normaliser = self.log_mass.logsumexp(-1).view(self.shape)  # log Z, [*B], double

    def _log_kernel(self, theta: Tensor) -> Tensor:
        """log of sin^(m-2)(theta) exp(kappa (cos(theta) - 1))."""
        return torch.special.xlogy(self.power, theta.sin()) - 2 * self.kappa * (theta / 2).sin().square()

    @property  # not cached: what a draw makes without a graph has no gradient for the divergence
    def mean_cosine(self) -> Tensor:
        """I_{m/2}(kappa) / I_{m/2-1}(kappa), ``[*B]``, double."""
        return (self.log_mass.softmax(-1) * self.theta.cos()).sum(-1).view(self.shape)

    @cached_property
    def table(self) -> Table:
        """F and its derivatives; carries no gradient."""
        with torch.no_grad():
            log_z, cosine = self.log_normaliser.view(-1, 1), self.mean_cosine.view(-1, 1)
            at_nodes = (self._log_kernel(self.theta) - log_z).exp()
            cumulative = self.length * (at_nodes @ self.integrals)
            slope = self.length * ((at_nodes * (self.theta.cos() - cosine)) @ self.integrals)
            theta = self.start + self.length * self.grid
            density = (self._log_kernel(theta) - log_z).exp()
            return Table(theta, cumulative.cummax(-1)[0], density, slope, density * (theta.cos() - cosine))

    def rsample(self, sample_shape: _size = ()) -> Tensor:
        """Angles, ``[*sample_shape, *B]``, double."""
        batch = len(sample_shape) if self.shape else None
        u = noise.uniform((*sample_shape, *self.shape), self.kappa.to(self.dtype), batch)
        theta = self._quantile(u.double().reshape(-1, self.kappa.shape[0]).T)  # [N, S]
        return theta.T.reshape((*sample_shape, *self.shape))

    def _quantile(self, u: Tensor) -> Tensor:
        """theta with F(theta) = u, ``[N, S]``."""
        with torch.no_grad():
            table = self.table
            cell = torch.searchsorted(table.cumulative[:, 1:-1].contiguous(), u.contiguous())
            step = self.length / CELLS
            cubic = _hermite(table.cumulative, table.density, cell, step)
            s = ((u - cubic[0]) / (cubic[1:].sum(0)).clamp(min=1e-300)).clamp(0, 1)
            for _ in range(NEWTON):
                gradient = cubic[1] + s * (2 * cubic[2] + 3 * s * cubic[3])
                s = (s - (_at(cubic, s) - u) / gradient.clamp(min=1e-300)).clamp(0, 1)
            theta = table.theta.gather(1, cell) + step * s
            density = (self._log_kernel(theta) - self.log_normaliser.view(-1, 1)).exp().clamp(min=1e-300)
            derivative = -_at(_hermite(table.slope, table.slope_density, cell, step), s) / density
        return theta + derivative * (self.kappa - self.kappa.detach())


def log_area(dimension: int) -> float:
    """log of the area of the unit sphere in R^dimension, which has dimension - 1 dimensions."""
    return math.log(2) + 0.5 * dimension * math.log(math.pi) - math.lgamma(0.5 * dimension)


def _hermite(values: Tensor, slopes: Tensor, cell: Tensor, step: Tensor) -> Tensor:
    """Coefficients of the cubic in s in [0, 1] with the table's values and slopes at both ends, ``[4, N, S]``."""
    left, right = values.gather(1, cell), values.gather(1, cell + 1)
    a, b, rise = step * slopes.gather(1, cell), step * slopes.gather(1, cell + 1), right - left
    return torch.stack([left, a, 3 * rise - 2 * a - b, a + b - 2 * rise])


def _at(cubic: Tensor, s: Tensor) -> Tensor:
    return cubic[0] + s * (cubic[1] + s * (cubic[2] + s * cubic[3]))


@cache
def _rule(device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """On [0, 1]: the nodes, their log weights, the integrals from 0 to each grid point, and the grid.

    The integrals are those of the polynomial through the values at the nodes, by its Legendre coefficients.
    """
    x, w = np.polynomial.legendre.leggauss(NODES)
    y = np.linspace(-1, 1, CELLS + 1)
    at_x = np.polynomial.legendre.legvander(x, NODES - 1) * w[:, None]  # [NODES, degree]
    at_y = np.polynomial.legendre.legvander(y, NODES)
    antiderivative = np.concatenate([y[:, None] + 1, at_y[:, 2:] - at_y[:, :-2]], 1)  # times 2 * degree + 1
    on_unit_interval = ((x + 1) / 2, np.log(w / 2), at_x @ antiderivative.T / 4, (y + 1) / 2)
    with torch.inference_mode(False):  # the cached tensors serve training too
        nodes, log_weights, integrals, grid = (torch.as_tensor(a, device=device) for a in on_unit_interval)
    return nodes, log_weights, integrals, grid
