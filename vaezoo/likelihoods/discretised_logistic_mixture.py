"""256 grey levels with a mixture of logistic noises."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaezoo.distributions.discretised_logistic_mixture import DiscretisedLogisticMixture
from vaezoo.errors import UsageError
from vaezoo.likelihoods.discretised_logistic import LEAST_LOG_SCALE
from vaezoo.likelihoods.head import Head, start_mean
from vaezoo.registry import register
from vaezoo.shapes import Shapes

START_LOG_SCALE = -2.0


@register(
    paper="Salimans et al., ICLR 2017, eq. 2",
    url="https://arxiv.org/abs/1701.05517",
    identities=("test_masses_of_all_levels_sum_to_one", "test_mixture_of_one_is_the_discretised_logistic"),
)
class DiscretisedLogisticMixture256(nn.Module):
    r"""Independent levels k / 255, each with its own mixture of K discretised logistics.

    .. math:: \log P(x|z) = \sum_i \log \sum_k \pi_{ki} P(x_i; m_{ki}, s_{ki})

    Unlike PixelCNN++, colour channels do not condition each other. ``components=1`` is ``discretised_logistic``.

    Args:
        shapes: sizes of the model.
        components: K, >= 1.

    Raises:
        UsageError: components is below 1.
    """

    fits = ("binary", "levels")
    discrete = True

    def __init__(self, shapes: Shapes, components: int = 5) -> None:
        super().__init__()
        if components < 1:
            raise UsageError(f"likelihood.components={components} must be at least 1")
        mean = start_mean(shapes)
        spread = (torch.arange(components) + 0.5) / components - 0.5  # equal components would stay equal
        logits = [torch.zeros_like(mean)] * components
        log_scales = [torch.full_like(mean, START_LOG_SCALE)] * components
        self.head = Head(shapes, [*logits, *(mean + offset for offset in spread), *log_scales])
        self.event_dims = len(shapes.event)

    def forward(self, h: Tensor) -> DiscretisedLogisticMixture:
        logits, means, raw = self.head(h).chunk(3, self.head.dim)  # [N, K, *event] each
        log_scales = LEAST_LOG_SCALE + F.softplus(raw - LEAST_LOG_SCALE)
        return DiscretisedLogisticMixture(logits, means, log_scales, self.event_dims)
