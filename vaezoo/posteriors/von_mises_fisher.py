"""A von Mises-Fisher posterior on the unit sphere."""

from torch import Tensor, nn
from torch.nn.functional import normalize, softplus

from vaezoo.distributions.von_mises_fisher import VonMisesFisher
from vaezoo.errors import UsageError
from vaezoo.registry import register
from vaezoo.shapes import Shapes


@register(
    paper="Davidson et al., UAI 2018, sec. 3",
    url="https://arxiv.org/abs/1804.00891",
    defaults={"prior": "uniform_sphere"},
    identities=("test_vmf_divergence_equals_quadrature_and_does_not_depend_on_the_direction",),
)
class VonMisesFisherPosterior(nn.Module):
    r"""Unit vectors around a direction, :math:`q(z|x) = C_m(\kappa(x))\, e^{\kappa(x)\, \mu(x)^T z}` on the sphere.

    z has m numbers and m - 1 dimensions: ``latent=11`` is what tables call d = 10. Unlike with Gaussian latents the
    prior can be uniform, and no rate pulls the directions together; the rate depends on kappa alone and is exact.
    kappa = kappa_min + softplus(.), so that with the authors' 1 the rate cannot reach 0.

    Args:
        shapes: reads ``features`` ``(F,)`` and ``latent`` ``(m,)``, m >= 2.
        kappa_min: lower bound of the concentration, > 0.
        kappa_max: upper bound of the concentration; a hard clamp.

    Raises:
        UsageError: the latent or the features are a grid, m is 1, or the bounds are not in order.
    """

    support = "sphere"
    density = "any"
    factorised = False

    def __init__(self, shapes: Shapes, kappa_min: float = 1.0, kappa_max: float = 1e4) -> None:
        super().__init__()
        if len(shapes.latent) != 1 or shapes.latent[0] < 2 or len(shapes.features) != 1:
            raise UsageError(
                "posterior=von_mises_fisher needs a vector latent of at least 2 numbers, such as latent=11;"
                f" got latent={shapes.latent}"
            )
        if not 0 < kappa_min < kappa_max:
            raise UsageError(f"posterior.kappa_min={kappa_min} must be > 0 and below kappa_max={kappa_max}")
        self.bounds = (kappa_min, kappa_max)
        self.head = nn.Linear(shapes.features[0], shapes.latent[0] + 1)

    def forward(self, h: Tensor) -> VonMisesFisher:
        """q(z|x) of features ``h [N, F]``."""
        parameters = self.head(h).to(self.head.weight.dtype)  # undoes autocast: rates need the precision
        kappa_min, kappa_max = self.bounds
        kappa = (kappa_min + softplus(parameters[:, -1])).clamp(max=kappa_max)
        return VonMisesFisher(normalize(parameters[:, :-1], dim=-1), kappa)

    def embed(self, z: Tensor) -> Tensor:
        """z on the sphere, which moves no sample but the mean of q, for that lies inside."""
        return normalize(z, dim=-1)
