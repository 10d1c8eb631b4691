"""The deterministic code of an autoencoder."""

from torch import Tensor, nn

from vaezoo.distributions.point_mass import PointMass
from vaezoo.posteriors.head import head
from vaezoo.registry import register
from vaezoo.shapes import Shapes


@register(paper="Hinton & Salakhutdinov, Science 2006", url="https://doi.org/10.1126/science.1127647")
class PointPosterior(nn.Module):
    r"""A point mass at a code, :math:`z = W h(x) + b`: there is no density, hence neither rate nor likelihood.

    The head is linear for vector features and a 1x1 convolution for grids.

    Args:
        shapes: reads ``features`` and ``latent``.

    Raises:
        UsageError: the grid of the features is not that of the latent.
    """

    support = "real"
    density = "none"
    factorised = False

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.latent = shapes.latent
        self.head = head(shapes, shapes.latent)

    def forward(self, h: Tensor) -> PointMass:
        """The code of features ``h [N, *features]``."""
        return PointMass(self.head(h).reshape(-1, *self.latent), event_dims=len(self.latent))

    def embed(self, z: Tensor) -> Tensor:
        """What the decoder reads."""
        return z
