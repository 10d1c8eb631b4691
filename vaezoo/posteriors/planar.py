"""A posterior of planar flows."""

from functools import partial
from math import e, log

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaezoo.distributions.flowed import Flowed
from vaezoo.posteriors.base_normal import base_normal, checked_steps
from vaezoo.registry import register
from vaezoo.shapes import Shapes

BISECTIONS = 60  # of the interval that holds a root of the inverse


@register(
    paper="Rezende & Mohamed, ICML 2015, eq. 10",
    url="https://arxiv.org/abs/1505.05770",
    identities=("test_log_determinant_is_that_of_the_jacobian", "test_flow_starts_as_the_diagonal_posterior"),
)
class PlanarPosterior(nn.Module):
    r"""Bends a diagonal Gaussian along one direction per step; the encoder gives the parameters of the steps.

    .. math:: f(z) = z + \hat u \tanh(w^T z + b),\quad
              \log|\det f'| = \log\left(1 + (1 - \tanh^2(w^T z + b))\, w^T \hat u\right)

    u is moved along w until :math:`w^T \hat u \ge -1`, which makes f invertible:
    :math:`\hat u = u + (m(w^T u) - w^T u)\, w / \|w\|^2` with :math:`m(a) = \log(1 + (e - 1) e^a) - 1`. The paper's
    m has 1 in place of e - 1. Here u = 0 is the identity, where training starts, and u^ stays bounded as w goes to 0.

    Args:
        shapes: reads ``features`` ``(F,)`` and ``latent`` ``(d,)``.
        steps: K, the number of steps, >= 1.
        log_std_min: lower bound of the base's log std, nats; a hard clamp.
        log_std_max: upper bound of the base's log std, nats; a hard clamp.

    Raises:
        UsageError: the latent or the features are a grid, ``steps`` is below 1, or the bounds are not in order.
    """

    support = "real"
    density = "own"
    factorised = False

    def __init__(self, shapes: Shapes, steps: int = 10, log_std_min: float = -7.0, log_std_max: float = 5.0) -> None:
        super().__init__()
        self.base = base_normal("planar", shapes, log_std_min, log_std_max)
        (d,), (features,) = shapes.latent, shapes.features
        self.steps = checked_steps(steps)
        self.u = nn.Linear(features, steps * d)
        self.wb = nn.Linear(features, steps * (d + 1))
        nn.init.zeros_(self.u.weight)
        nn.init.zeros_(self.u.bias)

    def forward(self, h: Tensor) -> Flowed:
        """q(z|x) of features ``h [N, F]``."""
        base = self.base(h)
        u = self.u(h).to(base.mean.dtype).unflatten(1, (self.steps, -1))  # undoes autocast
        wb = self.wb(h).to(base.mean.dtype).unflatten(1, (self.steps, -1))
        parameters = u, wb[..., :-1], wb[..., -1]
        return Flowed(base, partial(planar, *parameters), partial(planar_inverse, *parameters))

    def embed(self, z: Tensor) -> Tensor:
        """What the decoder reads."""
        return z


def planar(u: Tensor, w: Tensor, b: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """z ``[..., N, d]`` after all steps and log|det| ``[..., N]``, for u and w ``[N, K, d]`` and b ``[N, K]``."""
    log_det = torch.zeros_like(z[..., 0])
    for u_k, w_k, b_k, wu_k in _steps(u, w, b):
        t = ((z * w_k).sum(-1) + b_k).tanh()  # [..., N]
        z = z + u_k * t.unsqueeze(-1)
        log_det = log_det + torch.log1p((1 - t.square()) * wu_k)
    return z, log_det


def planar_inverse(u: Tensor, w: Tensor, b: Tensor, z: Tensor) -> Tensor:
    """The z ``[..., N, d]`` before all steps: a = w^T z + b of it solves a + w^T u tanh(a) = w^T f(z) + b."""
    for u_k, w_k, b_k, wu_k in reversed(_steps(u, w, b)):
        reached = (z * w_k).sum(-1) + b_k  # [..., N]
        with torch.no_grad():
            low, high = reached - wu_k.abs(), reached + wu_k.abs()
            for _ in range(BISECTIONS):
                a = (low + high) / 2
                below = a + wu_k * a.tanh() < reached
                low, high = torch.where(below, a, low), torch.where(below, high, a)
        t = a.tanh()
        a = a - (a + wu_k * t - reached) / (1 + wu_k * (1 - t.square()))  # Newton's step has the root's derivatives
        z = z - u_k * a.tanh().unsqueeze(-1)
    return z


def _steps(u: Tensor, w: Tensor, b: Tensor) -> list[tuple[Tensor, ...]]:
    """u that keeps its step invertible, w, b and their w^T u > -1, of each step."""
    wu, squared = (w * u).sum(-1), w.square().sum(-1).clamp(min=torch.finfo(w.dtype).tiny)
    allowed = F.softplus(wu + log(e - 1)) - 1  # [N, K]
    u = u + ((allowed - wu) / squared).unsqueeze(-1) * w
    return list(zip(u.unbind(1), w.unbind(1), b.unbind(1), allowed.unbind(1), strict=True))
