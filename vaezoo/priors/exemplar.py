"""The mixture of posteriors at training examples as prior."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaezoo.distributions.normal_mixture import NormalMixture
from vaezoo.errors import UsageError
from vaezoo.registry import register
from vaezoo.shapes import Shapes


@register(
    paper="Norouzi et al., NeurIPS 2020, eq. 6",
    url="https://arxiv.org/abs/2004.04795",
    identities=("test_one_exemplar_is_a_gaussian_around_its_code",),
)
class ExemplarPrior(nn.Module):
    r""":math:`p(z) = \frac1M \sum_m \mathcal N(z; \mu(x_m), \sigma^2 I)`, around the codes of M training examples.

    :math:`\mu(x)` is the mean of q(z|x), so that the encoder is trained through the prior, as in the VampPrior; the
    inputs are not learned and all components share one learned variance. Unlike in the paper, the exemplars are one
    fixed subset of the training data, seen whole in each step, and an exemplar is not left out of the prior of its own
    example: there is neither leave-one-out nor subsampling nor a search for neighbours.

    Args:
        shapes: reads ``event``, ``range`` and ``mean``.
        exemplars: M, >= 1; the examples are repeated where :meth:`start` is given fewer.

    Raises:
        UsageError: ``exemplars`` is below 1.
    """

    support = "real"
    needs = ()

    def __init__(self, shapes: Shapes, exemplars: int = 500) -> None:
        super().__init__()
        if exemplars < 1:
            raise UsageError(f"prior.exemplars={exemplars} must be >= 1")
        centre = torch.full(shapes.event, sum(shapes.range) / 2) if shapes.mean is None else shapes.mean.float()
        self.examples: Tensor
        self.register_buffer("examples", centre.nan_to_num().repeat(exemplars, *[1] * len(shapes.event)))
        self.log_std = nn.Parameter(torch.zeros(()))

    def start(self, x: Tensor) -> None:
        """Takes the exemplars from training examples ``x [N, *event]``, evenly spaced where N > M."""
        m = len(self.examples)
        rows = torch.arange(m, device=x.device) * len(x) // m if len(x) > m else torch.arange(m) % len(x)
        self.examples.copy_(x[rows])

    def forward(self, q_of: Callable[[Tensor], Distribution], c: Tensor | None = None) -> NormalMixture:
        """p(z), where ``q_of(x)`` is the model's posterior for ``x [M, *event]``."""
        means = q_of(self.examples).mean
        return NormalMixture(means.new_zeros(len(means)), means, self.log_std.expand_as(means))
