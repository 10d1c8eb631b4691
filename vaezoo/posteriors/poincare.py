"""A wrapped normal posterior on the Poincare ball."""

from torch import Tensor, nn

from vaezoo.distributions.poincare_ball import exp_centre, inside
from vaezoo.distributions.wrapped_normal import WrappedNormal
from vaezoo.errors import UsageError
from vaezoo.registry import register
from vaezoo.shapes import Shapes


@register(
    paper="Mathieu et al., NeurIPS 2019, sec. 3.1",
    url="https://arxiv.org/abs/1901.06033",
    defaults={"prior": "poincare"},
    identities=("test_wrapped_normal_integrates_to_one", "test_wrapped_normal_is_flat_without_curvature"),
)
class PoincarePosterior(nn.Module):
    r"""A normal wrapped around the ball of curvature -c, :math:`z = \exp_\mu(v / \lambda_\mu),\ v \sim N(0, \sigma^2)`.

    Space grows exponentially with the distance from the centre, as trees do with depth. :math:`\mu = \tau(W h + b)`
    lies at distance \|Wh + b\| from the centre. The rate is an estimate from one sample. The decoder reads the
    coordinates of z: any decoder fits, and the paper's gyroplane layer is no part of this.

    Args:
        shapes: reads ``features`` ``(F,)`` and ``latent`` ``(d,)``.
        curvature: c > 0 of the ball of radius 1 / sqrt(c); the prior takes it over.
        log_std_min: lower bound of log sigma, nats; a hard clamp.
        log_std_max: upper bound of log sigma, nats; a hard clamp, low because points further than 12 / sqrt(c) from
            the centre cannot be told from the edge in single precision.

    Raises:
        UsageError: the latent or the features are a grid, ``curvature`` is not positive, or the bounds are swapped.
    """

    support = "ball"
    density = "any"
    factorised = False

    def __init__(
        self, shapes: Shapes, curvature: float = 1.0, log_std_min: float = -7.0, log_std_max: float = 1.0
    ) -> None:
        super().__init__()
        if len(shapes.latent) != 1 or len(shapes.features) != 1:
            raise UsageError(f"posterior=poincare needs a vector latent, such as latent=10; got latent={shapes.latent}")
        if curvature <= 0:
            raise UsageError(f"posterior.curvature={curvature} must be > 0; posterior=diagonal is the flat case")
        if not log_std_min < log_std_max:
            raise UsageError(f"posterior.log_std_min={log_std_min} must be below log_std_max={log_std_max}")
        self.curvature, self.bounds = curvature, (log_std_min, log_std_max)
        self.head = nn.Linear(shapes.features[0], 2 * shapes.latent[0])

    def forward(self, h: Tensor) -> WrappedNormal:
        """q(z|x) of features ``h [N, F]``."""
        dtype = self.head.weight.dtype  # undoes autocast: rates need the precision
        v, log_std = self.head(h).to(dtype).chunk(2, 1)  # [N, d] each
        mean = inside(exp_centre(v.double(), self.curvature), self.curvature).to(dtype)
        return WrappedNormal(mean, log_std.clamp(*self.bounds), self.curvature)

    def embed(self, z: Tensor) -> Tensor:
        """What the decoder reads."""
        return z
