"""A normal distribution whose axes are turned by reflections."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.types import _size

from vaezoo.distributions import kl
from vaezoo.distributions.diagonal_normal import DiagonalNormal
from vaezoo.distributions.standard_normal import StandardNormal


class HouseholderNormal(Distribution):
    r"""N(U mu, U diag(sigma^2) U^T), where U is a product of reflections.

    .. math:: U = H_T \cdots H_1,\quad H_t = I - 2 \frac{v_t v_t^T}{\|v_t\|^2}

    U is orthogonal, so that no determinant enters, and the inverse is the same reflections backwards. With T = d it
    can be any orthogonal matrix of determinant (-1)^d, so that every covariance is within reach.

    Args:
        base: N(mu, diag(sigma^2)) over vectors ``[B, d]``.
        vectors: v_1, ..., v_T, each ``[B, d]`` or ``[d]``, of unit length.
    """

    arg_constraints: dict = {}  # type: ignore[assignment]
    has_rsample = True

    def __init__(self, base: DiagonalNormal, vectors: Sequence[Tensor]) -> None:
        self.base, self.vectors = base, list(vectors)
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        return reflected(self.base.mean, self.vectors)

    @property
    def mode(self) -> Tensor:
        return self.mean

    @property
    def variance(self) -> Tensor:
        rows = torch.diag_embed(self.base.stddev).movedim(-2, 0)  # [d, B, d]: the columns of diag(sigma)
        return reflected(rows, self.vectors).square().sum(0)

    @property
    def stddev(self) -> Tensor:
        return self.variance.sqrt()

    def rsample(self, sample_shape: _size = ()) -> Tensor:
        return reflected(self.base.rsample(sample_shape), self.vectors)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.base.log_prob(reflected(value, self.vectors[::-1]))


def reflected(z: Tensor, vectors: Sequence[Tensor]) -> Tensor:
    """z ``[..., B, d]`` after the reflection by each unit vector ``[B, d]`` in turn."""
    for v in vectors:
        z = z - 2 * (z * v).sum(-1, keepdim=True) * v
    return z


@kl.register(HouseholderNormal, StandardNormal)
def _householder_standard(q: HouseholderNormal, p: StandardNormal) -> Tensor:
    form = kl.closed_form(q.base, p)  # N(0, I) looks the same from all sides
    assert form is not None
    return form(q.base, p)


@kl.register(HouseholderNormal, DiagonalNormal)
def _householder_diagonal(q: HouseholderNormal, p: DiagonalNormal) -> Tensor:
    each = 0.5 * ((q.variance + (q.mean - p.mean).square()) / p.variance - 1) + p.log_std - q.base.log_std
    return each.sum(-1)
