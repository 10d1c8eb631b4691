"""Closed-form Kullback-Leibler divergences between our own distributions, looked up by exact type."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.kl import register_kl

from vaezoo.distributions.diagonal_normal import DiagonalNormal
from vaezoo.distributions.full_normal import FullNormal
from vaezoo.distributions.laplace import DiagonalLaplace
from vaezoo.distributions.one_hot_categorical import OneHotCategorical
from vaezoo.distributions.polar_angle import log_area
from vaezoo.distributions.standard_normal import StandardNormal
from vaezoo.distributions.uniform_sphere import UniformSphere
from vaezoo.distributions.von_mises_fisher import VonMisesFisher


class ClosedForm(NamedTuple):
    """A registered divergence.

    Args:
        function: takes (q, p) and returns ``[B, *event]`` nats if ``per_dim`` else ``[B]`` nats.
        per_dim: whether both distributions factorise over the event, so that the divergence is a sum.
    """

    function: Callable[[Any, Any], Tensor]
    per_dim: bool

    def __call__(self, q: Distribution, p: Distribution) -> Tensor:
        """KL(q || p), ``[B]`` nats."""
        value = self.function(q, p)
        return value.sum(tuple(range(-len(q.event_shape), 0))) if self.per_dim else value


_closed_forms: dict[tuple[type, type], ClosedForm] = {}


def register(q: type[Distribution], p: type[Distribution], per_dim: bool = False) -> Callable[[Callable], Callable]:
    """Decorator that makes a function (q, p) -> Tensor the closed form for these types, in torch's registry as well.

    Args:
        q: class of the first distribution; subclasses are not matched.
        p: class of the second distribution; subclasses are not matched.
        per_dim: whether the function returns one value per event dimension, ``[B, *event]``, rather than ``[B]``;
            for one-hot events, one per choice, ``[B, n, 1]``.
    """

    def decorate(function: Callable) -> Callable:
        form = _closed_forms[q, p] = ClosedForm(function, per_dim)
        register_kl(q, p)(form)
        return function

    return decorate


def closed_form(q: Distribution, p: Distribution) -> ClosedForm | None:
    """The registered KL(q || p) for exactly these types, or None."""
    return _closed_forms.get((type(q), type(p)))


@register(DiagonalNormal, StandardNormal, per_dim=True)
def _diagonal_standard(q: DiagonalNormal, p: StandardNormal) -> Tensor:
    return 0.5 * torch.addcmul(torch.expm1(2 * q.log_std), q.mean, q.mean) - q.log_std


@register(DiagonalNormal, DiagonalNormal, per_dim=True)
def _diagonal_diagonal(q: DiagonalNormal, p: DiagonalNormal) -> Tensor:
    log_ratio = q.log_std - p.log_std
    distance = (q.mean - p.mean) * torch.exp(-p.log_std)
    return 0.5 * (distance.square() + torch.expm1(2 * log_ratio)) - log_ratio


@register(FullNormal, StandardNormal)
def _full_standard(q: FullNormal, p: StandardNormal) -> Tensor:
    return 0.5 * (q.variance + q.mean.square() - 1).sum(-1) - q.half_log_det


@register(FullNormal, DiagonalNormal)
def _full_diagonal(q: FullNormal, p: DiagonalNormal) -> Tensor:
    each = 0.5 * ((q.variance + (q.mean - p.mean).square()) / p.variance - 1) + p.log_std
    return each.sum(-1) - q.half_log_det


@register(FullNormal, FullNormal)
def _full_full(q: FullNormal, p: FullNormal) -> Tensor:
    both = torch.cat([q.scale_tril, (q.mean - p.mean).unsqueeze(-1)], -1)  # [B, d, d + 1]
    whitened = torch.linalg.solve_triangular(p.scale_tril, both, upper=False)
    return 0.5 * (whitened.square().sum((-2, -1)) - q.mean.shape[-1]) + p.half_log_det - q.half_log_det


@register(DiagonalLaplace, StandardNormal, per_dim=True)
def _laplace_standard(q: DiagonalLaplace, p: StandardNormal) -> Tensor:
    constant = 0.5 * math.log(2 * math.pi) - 1 - math.log(2)
    return constant - q.log_scale + 0.5 * q.mean.square() + torch.exp(2 * q.log_scale)


@register(VonMisesFisher, UniformSphere)
def _von_mises_fisher_uniform(q: VonMisesFisher, p: UniformSphere) -> Tensor:
    expected = q.concentration * (q.angle.mean_cosine - 1) + q.log_peak  # double: nearly cancels where kappa is small
    return (expected + log_area(q.event_shape[0])).to(q.direction.dtype)


@register(OneHotCategorical, OneHotCategorical, per_dim=True)
def _categorical_categorical(q: OneHotCategorical, p: OneHotCategorical) -> Tensor:
    return (q.log_probs.exp() * (q.log_probs - p.log_probs)).sum(-1, keepdim=True)  # [B, n, 1]
