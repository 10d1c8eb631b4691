"""Real values with hyperbolic secant noise, whose minus log is the log-cosh loss."""

from torch import Tensor, nn

from vaezoo.distributions.hyperbolic_secant import HyperbolicSecant
from vaezoo.likelihoods.location_scale import LocationScale, is_bounded
from vaezoo.registry import register
from vaezoo.shapes import Shapes

LEAST_LOG_SCALE = -6.0


@register(
    paper="Chen et al., ICLR 2019 submission",
    url="https://openreview.net/forum?id=rkglvsC9Ym",
    identities=("test_hyperbolic_secant_integrates_to_one", "test_log_cosh_is_quadratic_near_and_absolute_far"),
)
class LogCosh(nn.Module):
    r"""Independent hyperbolic secant values around the decoder's mean.

    .. math:: \log p(x|z) = -\sum_i \log\cosh(a_i\,(x_i - \mu_i)) + \log\frac\pi{a_i}

    Like a Gaussian of standard deviation 1/a for errors well below 1/a, like a Laplace of scale 1/a above.

    Args:
        shapes: sizes of the model.
        scale: ``fixed``; ``shared``, one learned number a; or ``pixel``, given by the decoder.
        a: the fixed inverse scale, or where the learned one starts, per unit of x, > 0 (learned: < exp(6)).
        bounded: squash the mean into [0, 1]; None: only where the data lie there.

    Raises:
        UsageError: an argument is out of range, or bounded is asked for real data.
    """

    fits = ("binary", "levels", "unit", "real")
    discrete = False

    def __init__(self, shapes: Shapes, scale: str = "fixed", a: float = 10.0, bounded: bool | None = None) -> None:
        super().__init__()
        start = 1 / a if a > 0 else 0.0
        self.location_scale = LocationScale(shapes, scale, start, is_bounded(bounded, shapes), LEAST_LOG_SCALE)

    def forward(self, h: Tensor) -> HyperbolicSecant:
        mean, log_scale = self.location_scale(h)
        return HyperbolicSecant(mean, log_scale, self.location_scale.event_dims)
