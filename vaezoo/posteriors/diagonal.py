"""A diagonal Gaussian posterior."""

import torch.nn.functional as F
from torch import Tensor, nn

from vaezoo.distributions.diagonal_normal import DiagonalNormal
from vaezoo.errors import UsageError
from vaezoo.posteriors.head import head
from vaezoo.registry import register
from vaezoo.shapes import Shapes


@register(paper="Kingma & Welling, ICLR 2014, eq. 9", url="https://arxiv.org/abs/1312.6114")
class DiagonalPosterior(nn.Module):
    r"""Independent normal latents, :math:`q(z|x) = \prod_i \mathcal N(z_i; \mu_i(x), \sigma_i^2(x))`.

    The head is linear for vector features and a 1x1 convolution for grids. ``log_std`` is clamped hard: it is exact
    within the bounds, which training does not meet in practice, and has no gradient beyond them.

    Args:
        shapes: reads ``features`` and ``latent``.
        log_std_min: lower bound of log std, nats.
        log_std_max: upper bound of log std, nats.

    Raises:
        UsageError: the bounds are not in order, or the grid of the features is not that of the latent.
    """

    support = "real"
    density = "any"
    factorised = True

    def __init__(self, shapes: Shapes, log_std_min: float = -7.0, log_std_max: float = 5.0) -> None:
        super().__init__()
        if not log_std_min < log_std_max:
            raise UsageError(f"posterior.log_std_min={log_std_min} must be below log_std_max={log_std_max}")
        self.latent, self.bounds = shapes.latent, (log_std_min, log_std_max)
        self.head = head(shapes, (2 * shapes.latent[0], *shapes.latent[1:]))

    def forward(self, h: Tensor) -> DiagonalNormal:
        """q(z|x) of features ``h [N, *features]``."""
        parameters = self.head(h).to(self.head.weight.dtype)  # undoes autocast: rates need the precision
        mean, log_std = parameters.reshape(-1, 2, *self.latent).unbind(1)  # [N, *latent] each
        log_std = F.hardtanh(log_std, *self.bounds)  # clamp, whose gradient takes one operation instead of five
        return DiagonalNormal(mean, log_std, event_dims=len(self.latent))

    def embed(self, z: Tensor) -> Tensor:
        """What the decoder reads."""
        return z
