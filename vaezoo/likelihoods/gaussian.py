"""Real values with normal noise."""

import torch
from torch import Tensor, nn

from vaezoo.distributions.diagonal_normal import DiagonalNormal
from vaezoo.distributions.optimal_normal import OptimalNormal
from vaezoo.likelihoods.location_scale import LocationScale, is_bounded
from vaezoo.registry import register
from vaezoo.shapes import Shapes

LEAST_LOG_STD = -6.0
MOMENTUM = 0.1  # share of the newest batch in the held log s*, that of BatchNorm


@register(
    paper="Rybkin et al., ICML 2021, sections 3-4",
    url="https://arxiv.org/abs/2006.13202",
    identities=(
        "test_fixed_gaussian_is_half_the_squared_error",
        "test_optimal_std_gives_the_closed_form_nll",
        "test_optimal_std_obeys_the_envelope_theorem",
    ),
)
class Gaussian(nn.Module):
    r"""Independent normal values around the decoder's mean.

    .. math:: \log p(x|z) = -\sum_i \frac{(x_i - \mu_i)^2}{2 s_i^2} + \tfrac12 \log 2\pi s_i^2

    A fixed s weighs the squared error against the rate, s^2 = beta / 2 for SSE + beta KL. ``optimal`` trains with
    s*^2 = the mean squared error of the batch, over pixels and examples and all ranks, which couples the batch;
    in evaluation s is held at a running average of log s* (a buffer), so that p(x|z) is a proper density.
    The mean goes through a sigmoid where the data lie in [0, 1], as in the decoders of Kingma & Welling and of
    Rybkin et al.; linear models need ``bounded=false``.

    Args:
        shapes: sizes of the model.
        scale: ``fixed``; ``shared``, one learned number; ``pixel``, given by the decoder, the easiest to overfit; or
            ``optimal``, computed.
        std: the fixed standard deviation, or where the others start, in units of x, > 0 (not fixed: > exp(-6)).
        bounded: squash the mean into [0, 1]; None: only where the data lie there.

    Raises:
        UsageError: an argument is out of range, or bounded is asked for real data.

    Source: lower bound -6 of log s from the authors' code; Kingma & Welling, ICLR 2014, appendix C.2.
    """

    fits = ("binary", "levels", "unit", "real")
    discrete = False

    def __init__(self, shapes: Shapes, scale: str = "shared", std: float = 1.0, bounded: bool | None = None) -> None:
        super().__init__()
        options = ("fixed", "shared", "pixel", "optimal")
        self.location_scale = LocationScale(shapes, scale, std, is_bounded(bounded, shapes), LEAST_LOG_STD, options)
        self.optimum = OptimalScale(self.location_scale) if scale == "optimal" else None

    def forward(self, h: Tensor) -> DiagonalNormal:
        mean, log_std = self.location_scale(h)
        if self.training and self.optimum is not None:
            return OptimalNormal(mean, log_std, self.location_scale.event_dims, self.optimum)
        return DiagonalNormal(mean, log_std, self.location_scale.event_dims)


class OptimalScale(nn.Module):
    """log s* of a batch; the held value follows it after the step.

    Args:
        location_scale: holds the value, in ``log_scale``.
    """

    def __init__(self, location_scale: LocationScale) -> None:
        super().__init__()
        self._of = [location_scale]  # in a list: not a part of this module too
        self._seen: Tensor | None = None

    @torch.no_grad()
    def forward(self, squared_error: Tensor) -> Tensor:
        """log s* ``[]`` of the mean squared error ``[]`` of the batch on all ranks."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            squared_error = squared_error / torch.distributed.get_world_size()
            torch.distributed.all_reduce(squared_error)
        self._seen = (0.5 * squared_error.log()).clamp(min=LEAST_LOG_STD)
        return self._seen

    @torch.no_grad()
    def move(self) -> None:
        """Moves the held value towards that of the last batch."""
        if self._seen is not None:
            held = self._of[0].log_scale
            held.lerp_(self._seen.to(held.dtype), MOMENTUM)
            self._seen = None
