"""A Laplace posterior with independent components."""

from torch import Tensor, nn

from vaezoo.distributions.laplace import DiagonalLaplace
from vaezoo.errors import UsageError
from vaezoo.posteriors.head import head
from vaezoo.registry import register
from vaezoo.shapes import Shapes


@register(
    paper="Kingma & Welling, ICLR 2014, sec. 2.4 (location-scale families)",
    url="https://arxiv.org/abs/1312.6114",
    identities=("test_laplace_divergence_equals_quadrature_per_dimension",),
)
class LaplacePosterior(nn.Module):
    r"""Independent Laplace latents, :math:`q(z|x) = \prod_i \frac{1}{2 b_i(x)} e^{-|z_i - \mu_i(x)| / b_i(x)}`.

    Its tails are heavier than those of the diagonal posterior. The rate is a closed form under ``prior=standard`` and
    an estimate from one sample under any other prior.

    Args:
        shapes: reads ``features`` and ``latent``.
        log_scale_min: lower bound of log b, nats; a hard clamp.
        log_scale_max: upper bound of log b, nats; a hard clamp.

    Raises:
        UsageError: the bounds are not in order, or the grid of the features is not that of the latent.
    """

    support = "real"
    density = "any"
    factorised = True

    def __init__(self, shapes: Shapes, log_scale_min: float = -7.0, log_scale_max: float = 5.0) -> None:
        super().__init__()
        if not log_scale_min < log_scale_max:
            raise UsageError(f"posterior.log_scale_min={log_scale_min} must be below log_scale_max={log_scale_max}")
        self.latent, self.bounds = shapes.latent, (log_scale_min, log_scale_max)
        self.head = head(shapes, (2 * shapes.latent[0], *shapes.latent[1:]))

    def forward(self, h: Tensor) -> DiagonalLaplace:
        """q(z|x) of features ``h [N, *features]``."""
        parameters = self.head(h).to(self.head.weight.dtype)  # undoes autocast: rates need the precision
        mean, log_scale = parameters.reshape(-1, 2, *self.latent).unbind(1)  # [N, *latent] each
        return DiagonalLaplace(mean, log_scale.clamp(*self.bounds), event_dims=len(self.latent))

    def embed(self, z: Tensor) -> Tensor:
        """What the decoder reads."""
        return z
