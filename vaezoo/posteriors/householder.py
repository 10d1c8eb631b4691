"""A Gaussian posterior that is turned by Householder reflections."""

from torch import Tensor, nn
from torch.nn.functional import normalize

from vaezoo.distributions.householder_normal import HouseholderNormal
from vaezoo.posteriors.base_normal import base_normal, checked_steps
from vaezoo.registry import register
from vaezoo.shapes import Shapes


@register(
    paper="Tomczak & Welling, 2016, eq. 9",
    url="https://arxiv.org/abs/1611.09630",
    identities=("test_householder_is_the_turned_gaussian", "test_householder_divergence_is_that_of_torch"),
)
class HouseholderPosterior(nn.Module):
    r"""Correlated normal latents, whose covariance is that of the diagonal posterior, reflected T times.

    .. math:: q(z|x) = \mathcal N(U\mu, U \mathrm{diag}(\sigma^2) U^T),\quad
              U = H_T \cdots H_1,\quad H_t = I - 2 \frac{v_t v_t^T}{\|v_t\|^2}

    :math:`v_1` is linear in the features and :math:`v_t` in :math:`v_{t-1}`. T = 0 is the diagonal posterior. The full
    posterior has all covariances at once, from d (d + 1) / 2 outputs. Under N(0, I) the rate does not depend on U.

    Args:
        shapes: reads ``features`` ``(F,)`` and ``latent`` ``(d,)``.
        steps: T, the number of reflections, >= 0.
        log_std_min: lower bound of log sigma, nats; a hard clamp.
        log_std_max: upper bound of log sigma, nats; a hard clamp.

    Raises:
        UsageError: the latent or the features are a grid, ``steps`` is negative, or the bounds are not in order.
    """

    support = "real"
    density = "any"
    factorised = False

    def __init__(self, shapes: Shapes, steps: int = 10, log_std_min: float = -7.0, log_std_max: float = 5.0) -> None:
        super().__init__()
        self.base = base_normal("householder", shapes, log_std_min, log_std_max)
        (d,), (features,) = shapes.latent, shapes.features
        sizes = [features] + [d] * checked_steps(steps, at_least=0)
        self.vectors = nn.ModuleList(nn.Linear(before, d) for before in sizes[:-1])

    def forward(self, h: Tensor) -> HouseholderNormal:
        """q(z|x) of features ``h [N, F]``."""
        base, v, units = self.base(h), h, []
        for linear in self.vectors:
            v = linear(v)
            units.append(normalize(v.to(base.mean.dtype), dim=-1))  # undoes autocast
        return HouseholderNormal(base, units)

    def embed(self, z: Tensor) -> Tensor:
        """What the decoder reads."""
        return z
