"""A categorical posterior with Gumbel-softmax samples."""

from math import prod

from torch import Tensor, nn

from vaezoo.distributions.one_hot_categorical import OneHotCategorical
from vaezoo.errors import UsageError
from vaezoo.registry import register
from vaezoo.schedules import Schedule
from vaezoo.shapes import Shapes


@register(
    paper="Jang et al., ICLR 2017, eq. 1 and 2",
    url="https://arxiv.org/abs/1611.01144",
    defaults={"prior": "uniform_categorical"},
    latent=(20, 10),
    identities=("test_gumbel_argmax_has_the_probabilities", "test_gumbel_likelihood_agrees_with_enumeration"),
)
class GumbelPosterior(nn.Module):
    r"""n independent choices among K, relaxed in training, :math:`y_i = \mathrm{softmax}((\log\pi_i(x) + g_i) / \tau)`.

    The rate is the exact divergence of the categorical variables, never one between densities of relaxed ones. In
    training the distortion is that of the relaxed sample, so minus the loss is no bound on log p(x) unless
    ``straight_through``; in eval mode samples are one-hot, and ELBO and likelihood are those of the discrete model.
    Terms that read log q(z|x) in training, such as importance weights, get its linear extension to relaxed samples.
    ``encode`` and ``reconstruct`` use the probabilities :math:`\pi(x)`.

    Args:
        shapes: reads ``features`` ``(F,)`` and ``latent`` ``(n, K)``, K >= 2.
        temperature: tau > 0; None falls linearly from 1 to 0.5 over the first half of training, close to the paper's
            max(0.5, exp(-r t)), whose r it makes independent of the length of training.
        straight_through: the decoder reads one-hot rows in training too, with the gradient of the relaxed ones.

    Raises:
        UsageError: the latent is not of the form [n, K], the features are a grid, or the temperature is not positive.
    """

    support = "one-hot"
    density = "any"
    factorised = True

    def __init__(
        self, shapes: Shapes, temperature: float | Schedule | None = None, straight_through: bool = False
    ) -> None:
        super().__init__()
        if len(shapes.latent) != 2 or shapes.latent[1] < 2 or len(shapes.features) != 1:
            raise UsageError(
                "posterior=gumbel needs a latent of n choices among K >= 2, such as latent=[20,10];"
                f" got latent={shapes.latent}"
            )
        anneal = Schedule("linear", start=1.0, end=0.5, until=0.5)
        self.temperature = anneal if temperature is None else Schedule.of(temperature, minimum=1e-3)
        self.latent, self.straight_through = shapes.latent, straight_through
        self.head = nn.Linear(shapes.features[0], prod(shapes.latent))

    def forward(self, h: Tensor) -> OneHotCategorical:
        """q(z|x) of features ``h [N, F]``."""
        logits = self.head(h).to(self.head.weight.dtype).unflatten(1, self.latent)  # undoes autocast; [N, n, K]
        return OneHotCategorical(logits, self.temperature(), self.straight_through)

    def embed(self, z: Tensor) -> Tensor:
        """What the decoder reads."""
        return z
