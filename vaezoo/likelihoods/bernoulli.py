"""Binary pixels."""

from torch import Tensor, nn

from vaezoo.distributions.bernoulli_logits import BernoulliLogits
from vaezoo.likelihoods.head import Head, start_mean
from vaezoo.registry import register
from vaezoo.shapes import Shapes


@register(paper="Kingma & Welling, ICLR 2014, appendix C.1", url="https://arxiv.org/abs/1312.6114")
class Bernoulli(nn.Module):
    r"""Independent binary values, whose logits a the decoder gives.

    .. math:: \log p(x|z) = \sum_i x_i a_i - \mathrm{softplus}(a_i)

    Starts, where h = 0, at the product of the pixels' training means; a pixel that never changes among N training
    examples starts at probability 1/2 / (N + 1) of changing.

    Args:
        shapes: sizes of the model.
        allow_relaxed: accept grey values in [0, 1] too, whose binary cross-entropy is not a log-likelihood.

    Source: Burda et al., ICLR 2016, start their output biases from the pixel means.
    """

    fits = ("binary",)
    discrete = True

    def __init__(self, shapes: Shapes, allow_relaxed: bool = False) -> None:
        super().__init__()
        self.allow_relaxed = allow_relaxed
        self.head = Head(shapes, start_mean(shapes, margin=0.5 / (shapes.train_size + 1)).logit())
        self.event_dims = len(shapes.event)

    def forward(self, h: Tensor) -> BernoulliLogits:
        return BernoulliLogits(self.head(h), self.event_dims)
