"""The variational mixture of posteriors as prior."""

from collections.abc import Callable
from math import isfinite

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional as F

from vaezoo.distributions import noise
from vaezoo.distributions.diagonal_normal import DiagonalNormal
from vaezoo.distributions.normal_mixture import NormalMixture
from vaezoo.errors import UsageError
from vaezoo.registry import register
from vaezoo.shapes import Shapes


@register(paper="Tomczak & Welling, AISTATS 2018, eq. 9", url="https://arxiv.org/abs/1705.07120")
class VampPrior(nn.Module):
    r""":math:`p(z) = \frac1K \sum_k q(z|u_k)`, the model's own posterior at K learned pseudo-inputs u_k.

    Unlike in the mixture prior, the components come from the encoder, which is trained through them. Pseudo-inputs pass
    through a hard tanh that keeps them in the range of the data. Its gradient is zero beyond that range, so they start
    at least 5 % of it away from its ends.

    Args:
        shapes: reads ``event``, ``range`` and ``mean``.
        components: K, the number of pseudo-inputs, >= 1.
        from_data: start from training examples instead of from noise around the mean example. Off by default, as in
            the authors' code: the published results come from noise, and on binary data the start is inside the range,
            whereas examples lie at its ends.

    Raises:
        UsageError: ``components`` is below 1, or there is a condition; in ``forward``, the posterior is not a diagonal
            Gaussian.
    """

    support = "real"
    needs = ("diagonal",)

    def __init__(self, shapes: Shapes, components: int = 500, from_data: bool = False) -> None:
        super().__init__()
        if components < 1:
            raise UsageError(f"prior.components={components} must be >= 1")
        if shapes.condition:
            raise UsageError(
                "prior=vamp has no condition for its pseudo-inputs: use prior=conditional or prior=standard"
            )
        self.range, self.from_data = shapes.range, from_data
        centre = torch.full(shapes.event, sum(shapes.range) / 2) if shapes.mean is None else shapes.mean
        self.inputs = nn.Parameter(self._near(centre.expand(components, *shapes.event).float()))

    def start(self, x: Tensor) -> None:
        """Start the pseudo-inputs from training examples ``x [N, *event]`` if ``from_data``, repeated where N < K."""
        if self.from_data:
            rows = torch.arange(len(self.inputs), device=x.device) % len(x)
            with torch.no_grad():
                self.inputs.copy_(self._near(x[rows]))

    def forward(self, q_of: Callable[[Tensor], Distribution], c: Tensor | None = None) -> NormalMixture:
        """p(z), where ``q_of(u)`` is the model's posterior for inputs ``u [K, *event]``."""
        q = q_of(F.hardtanh(self.inputs, *self.range))
        if not isinstance(q, DiagonalNormal):
            raise UsageError(f"prior=vamp needs posterior=diagonal; the posterior at hand gives a {type(q).__name__}")
        return NormalMixture(q.mean.new_zeros(len(q.mean)), q.mean, q.log_std)

    def _near(self, x: Tensor) -> Tensor:
        """``x`` with noise of 1 % of the data's range, 5 % away from its ends (where the range is bounded)."""
        low, high = self.range
        width = high - low if isfinite(high - low) else 1.0
        return x.clamp(low + 0.05 * width, high - 0.05 * width) + 0.01 * width * noise.normal(x.shape, x)
