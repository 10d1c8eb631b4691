"""256 grey levels with free probabilities."""

import torch
from torch import Tensor, nn

from vaezoo.distributions.categorical_levels import CategoricalLevels
from vaezoo.distributions.discretised_logistic import LEVELS, log_mass
from vaezoo.likelihoods.head import Head, start_mean
from vaezoo.registry import register
from vaezoo.shapes import Shapes

START_LOG_SCALE = -2.0


@register(
    paper="van den Oord et al., ICML 2016, section 2.3",
    url="https://arxiv.org/abs/1601.06759",
    identities=("test_masses_of_all_levels_sum_to_one", "test_uniform_logits_cost_eight_bits_per_dim"),
)
class Categorical(nn.Module):
    r"""Independent levels k / 255 with one logit for each of the 256.

    .. math:: \log P(x|z) = \sum_i a_{i k_i} - \log \sum_k e^{a_{ik}}, \quad k_i = 255 x_i

    The order of the levels is not built in. The head is 256 times as wide as that of ``bernoulli``: prefer a decoder
    that ends in a grid. Starts at a wide discretised logistic around the mean, or uniform where there is no mean.

    Args:
        shapes: sizes of the model.
    """

    fits = ("binary", "levels")
    discrete = True

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        levels = torch.linspace(0, 1, LEVELS)
        mean = start_mean(shapes)
        if shapes.mean is None:
            starts = [torch.zeros_like(mean)] * LEVELS
        else:
            starts = [log_mass(level, mean, torch.tensor(START_LOG_SCALE)) for level in levels]
        self.head = Head(shapes, starts)
        self.event_dims = len(shapes.event)

    def forward(self, h: Tensor) -> CategoricalLevels:
        return CategoricalLevels(self.head(h).movedim(self.head.dim, -1), self.event_dims)
