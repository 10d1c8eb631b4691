"""256 grey levels with logistic noise."""

from torch import Tensor, nn

from vaezoo.distributions.discretised_logistic import DiscretisedLogistic
from vaezoo.likelihoods.location_scale import LocationScale
from vaezoo.registry import register
from vaezoo.shapes import Shapes

LEAST_LOG_SCALE = -8.0  # a mean on its level then has 0.994 of its mass there


@register(
    paper="Kingma et al., NeurIPS 2016, appendix C.5",
    url="https://arxiv.org/abs/1606.04934",
    identities=("test_masses_of_all_levels_sum_to_one", "test_vanishing_scale_puts_all_mass_on_one_level"),
)
class DiscretisedLogistic256(nn.Module):
    r"""Independent levels k / 255, each with the mass of a logistic density between the neighbouring half-levels.

    .. math:: \log P(x|z) = \sum_i \log\left[\sigma\!\left(\frac{x_i + 1/510 - m_i}{s_i}\right)
        - \sigma\!\left(\frac{x_i - 1/510 - m_i}{s_i}\right)\right]

    The outermost bins reach to infinity. The mean is not squashed, since a black pixel is most probable at m < 0.

    Args:
        shapes: sizes of the model.
        scale: ``fixed``; ``shared``, one learned number; or ``pixel``, given by the decoder.
        s: the fixed scale, or where the learned one starts, in units of x, > 0 (learned: > exp(-8)).

    Raises:
        UsageError: an argument is out of range.
    """

    fits = ("binary", "levels")
    discrete = True

    def __init__(self, shapes: Shapes, scale: str = "pixel", s: float = 0.1) -> None:
        super().__init__()
        self.location_scale = LocationScale(shapes, scale, s, bounded=False, least=LEAST_LOG_SCALE)

    def forward(self, h: Tensor) -> DiscretisedLogistic:
        mean, log_scale = self.location_scale(h)
        return DiscretisedLogistic(mean, log_scale, self.location_scale.event_dims)
