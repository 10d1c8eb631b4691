"""A Gaussian posterior with full covariance."""

import torch
from torch import Tensor, nn

from vaezoo.distributions.full_normal import FullNormal
from vaezoo.errors import UsageError
from vaezoo.registry import register
from vaezoo.shapes import Shapes


@register(paper="Kingma & Welling, FnT in ML 2019, sec. 2.5.1", url="https://arxiv.org/abs/1906.02691")
class FullPosterior(nn.Module):
    r"""Correlated normal latents, :math:`q(z|x) = \mathcal N(\mu(x), L(x) L(x)^T)` with L lower triangular.

    :math:`L = \mathrm{diag}(\sigma)(I + N / d)` with N strictly lower triangular, :math:`N = W h / F + b` of the F
    features h. N starts at zero, so that training starts from the diagonal posterior. Scaled so, a step of Adam moves N
    as far as it moves a single weight.

    Args:
        shapes: reads ``features`` ``(F,)`` and ``latent`` ``(d,)``.
        log_std_min: lower bound of log L_ii, nats; a hard clamp.
        log_std_max: upper bound of log L_ii, nats; a hard clamp.

    Raises:
        UsageError: the latent or the features are a grid, or the bounds are not in order.
    """

    support = "real"
    density = "any"
    factorised = False

    def __init__(self, shapes: Shapes, log_std_min: float = -7.0, log_std_max: float = 5.0) -> None:
        super().__init__()
        if len(shapes.latent) != 1 or len(shapes.features) != 1:
            raise UsageError(f"posterior=full needs a vector latent, such as latent=20; got latent={shapes.latent}")
        if not log_std_min < log_std_max:
            raise UsageError(f"posterior.log_std_min={log_std_min} must be below log_std_max={log_std_max}")
        (d,) = shapes.latent
        self.bounds = (log_std_min, log_std_max)
        self.head = nn.Linear(shapes.features[0], 2 * d)
        self.lower = nn.Linear(shapes.features[0], d * (d - 1) // 2)
        nn.init.zeros_(self.lower.weight)
        nn.init.zeros_(self.lower.bias)
        row, column = torch.tril_indices(d, d, -1)
        positions = torch.cat([torch.arange(d) * (d + 1), row * d + column])  # of the diagonal, then of the rest
        self.positions: Tensor
        self.register_buffer("positions", positions, persistent=False)

    def forward(self, h: Tensor) -> FullNormal:
        """q(z|x) of features ``h [N, F]``."""
        dtype = self.head.weight.dtype  # undoes autocast: rates need the precision
        mean, log_std = self.head(h).to(dtype).chunk(2, 1)  # [N, d] each
        n, d = mean.shape
        entries = torch.cat([mean.new_ones(n, d), self._below(h).to(dtype) / d], 1)
        unit = entries.new_zeros(n, d * d).index_copy(1, self.positions, entries).view(n, d, d)  # I + N / d
        return FullNormal(mean, log_std.clamp(*self.bounds).exp().unsqueeze(-1) * unit)

    def _below(self, h: Tensor) -> Tensor:
        """The entries of N, row by row, ``[N, d (d - 1) / 2]``."""
        return nn.functional.linear(h, self.lower.weight / self.lower.in_features, self.lower.bias)

    def embed(self, z: Tensor) -> Tensor:
        """What the decoder reads."""
        return z
