"""Grey values in [0, 1] with a density in place of the binary cross-entropy."""

from torch import Tensor, nn

from vaezoo.distributions.continuous_bernoulli import ContinuousBernoulliLogits
from vaezoo.likelihoods.head import Head, start_mean
from vaezoo.registry import register
from vaezoo.shapes import Shapes


@register(
    paper="Loaiza-Ganem & Cunningham, NeurIPS 2019, eq. 6",
    url="https://arxiv.org/abs/1907.06845",
    identities=("test_densities_integrate_to_one", "test_continuous_bernoulli_equals_torch"),
)
class ContinuousBernoulli(nn.Module):
    r"""Independent values in [0, 1] with logits a, :math:`\lambda = \sigma(a)`.

    .. math:: \log p(x|z) = \sum_i x_i a_i - \mathrm{softplus}(a_i) + \log C(\lambda_i), \quad
        C(\lambda) = \frac{2 \operatorname{artanh}(1 - 2\lambda)}{1 - 2\lambda}

    What ``bernoulli`` lacks on grey values is log C, at least log 2 for every value. The mean is not :math:`\lambda`.

    Args:
        shapes: sizes of the model; lambda starts at the mean, kept 1/2 / (train_size + 1) away from 0 and 1.
    """

    fits = ("binary", "levels", "unit")
    discrete = False

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.head = Head(shapes, start_mean(shapes, margin=0.5 / (shapes.train_size + 1)).logit())
        self.event_dims = len(shapes.event)

    def forward(self, h: Tensor) -> ContinuousBernoulliLogits:
        return ContinuousBernoulliLogits(self.head(h), self.event_dims)
