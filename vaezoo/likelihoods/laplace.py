"""Real values with Laplace noise."""

from torch import Tensor, nn

from vaezoo.distributions.laplace import DiagonalLaplace
from vaezoo.likelihoods.location_scale import LocationScale, is_bounded
from vaezoo.registry import register
from vaezoo.shapes import Shapes

LEAST_LOG_SCALE = -6.0


@register(identities=("test_laplace_equals_torch",))
class Laplace(nn.Module):
    r"""Independent Laplace values around the decoder's mean: the absolute error as a density.

    .. math:: \log p(x|z) = -\sum_i \frac{|x_i - \mu_i|}{b_i} + \log 2 b_i

    Args:
        shapes: sizes of the model.
        scale: ``fixed``; ``shared``, one learned number; or ``pixel``, given by the decoder.
        b: the fixed scale, or where the learned one starts, in units of x, > 0 (learned: > exp(-6)).
        bounded: squash the mean into [0, 1]; None: only where the data lie there.

    Raises:
        UsageError: an argument is out of range, or bounded is asked for real data.
    """

    fits = ("binary", "levels", "unit", "real")
    discrete = False

    def __init__(self, shapes: Shapes, scale: str = "shared", b: float = 1.0, bounded: bool | None = None) -> None:
        super().__init__()
        self.location_scale = LocationScale(shapes, scale, b, is_bounded(bounded, shapes), LEAST_LOG_SCALE)

    def forward(self, h: Tensor) -> DiagonalLaplace:
        mean, log_scale = self.location_scale(h)
        return DiagonalLaplace(mean, log_scale, self.location_scale.event_dims)
