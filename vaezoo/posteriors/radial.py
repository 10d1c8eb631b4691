"""A posterior of radial flows."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from vaezoo.distributions.flowed import Flowed
from vaezoo.posteriors.base_normal import base_normal, checked_steps
from vaezoo.registry import register
from vaezoo.shapes import Shapes


@register(
    paper="Rezende & Mohamed, ICML 2015, eq. 14",
    url="https://arxiv.org/abs/1505.05770",
    identities=("test_log_determinant_is_that_of_the_jacobian", "test_flow_starts_as_the_diagonal_posterior"),
)
class RadialPosterior(nn.Module):
    r"""Pulls a diagonal Gaussian towards a point, or away from it, in each step; the encoder gives the parameters.

    .. math:: f(z) = z + \beta h\,(z - z_c),\quad h = \frac{1}{\alpha + r},\quad r = \|z - z_c\|,\quad
              \log|\det f'| = (d - 1) \log(1 + \beta h) + \log(1 + \alpha\beta h^2)

    :math:`\alpha = \mathrm{softplus}(a)` and :math:`\beta = \mathrm{softplus}(a + b) - \alpha`, so that f is
    invertible, :math:`\beta > -\alpha`, and b = 0 is the identity, where training starts.

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
        self.base = base_normal("radial", shapes, log_std_min, log_std_max)
        (d,), (features,) = shapes.latent, shapes.features
        self.steps = checked_steps(steps)
        self.a_and_centre = nn.Linear(features, steps * (d + 1))
        self.b = nn.Linear(features, steps)
        nn.init.zeros_(self.b.weight)
        nn.init.zeros_(self.b.bias)

    def forward(self, h: Tensor) -> Flowed:
        """q(z|x) of features ``h [N, F]``."""
        base = self.base(h)
        rows = self.a_and_centre(h).to(base.mean.dtype).unflatten(1, (self.steps, -1))  # undoes autocast
        parameters = rows[..., 0], self.b(h).to(rows.dtype), rows[..., 1:]
        return Flowed(base, partial(radial, *parameters), partial(radial_inverse, *parameters))

    def embed(self, z: Tensor) -> Tensor:
        """What the decoder reads."""
        return z


def radial(a: Tensor, b: Tensor, centre: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """z ``[..., N, d]`` after all steps and log|det| ``[..., N]``, for a and b ``[N, K]`` and centre ``[N, K, d]``."""
    alpha, beta = _alpha_beta(a, b)
    log_det = torch.zeros_like(z[..., 0])
    for alpha_k, beta_k, centre_k in zip(alpha.unbind(1), beta.unbind(1), centre.unbind(1), strict=True):
        away = z - centre_k
        h = 1 / (alpha_k + torch.linalg.vector_norm(away, dim=-1))  # [..., N]
        z = z + (beta_k * h).unsqueeze(-1) * away
        log_det = log_det + (z.shape[-1] - 1) * torch.log1p(beta_k * h) + torch.log1p(alpha_k * beta_k * h.square())
    return z, log_det


def radial_inverse(a: Tensor, b: Tensor, centre: Tensor, z: Tensor) -> Tensor:
    """The z ``[..., N, d]`` before all steps: its distance r from a centre solves r + beta r / (alpha + r) = R."""
    alpha, beta = _alpha_beta(a, b)
    steps = zip(alpha.unbind(1), beta.unbind(1), centre.unbind(1), strict=True)
    for alpha_k, beta_k, centre_k in reversed(list(steps)):
        away = z - centre_k
        reached = torch.linalg.vector_norm(away, dim=-1)  # R, [..., N]
        half = (alpha_k + beta_k - reached) / 2
        r = (half.square() + alpha_k * reached).sqrt() - half
        z = centre_k + away / (1 + beta_k / (alpha_k + r)).unsqueeze(-1)
    return z


def _alpha_beta(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """alpha > 0 and beta > -alpha, ``[N, K]`` each."""
    alpha = softplus(a)
    return alpha, softplus(a + b) - alpha
