"""How much the latents say about the data."""

from collections.abc import Callable
from math import log

import torch
from torch import Tensor
from torch.distributions import Distribution
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from vaezoo.distributions.diagonal_normal import DiagonalNormal
from vaezoo.distributions.normal_mixture import NormalMixture
from vaezoo.estimators import rate
from vaezoo.evaluate.mean import Mean

AT_ONCE = 250  # points of a square of log q(z_i|x_j) that is in memory at once


class ActiveUnits(Mean):
    r"""Number of latent dimensions u with :math:`\mathrm{Var}_x(E_{q(z|x)}[z_u])` above a threshold.

    Args:
        threshold: variance above which a dimension is active.

    Source: Burda et al., ICLR 2016 (arXiv 1509.00519), section 5.2, with 0.01.
    """

    def __init__(self, threshold: float = 0.01) -> None:
        super().__init__()
        self.threshold = threshold

    def update(self, means: Tensor) -> None:
        """Adds posterior means ``[B, *latent]``."""
        super().update(means.flatten(1))

    def compute(self) -> Tensor:
        """The number of active dimensions, long ``[]``."""
        return (self.variance() > self.threshold).sum()


class PerDimensionKL(Mean):
    """Mean over examples of the rate of each latent dimension, nats; for pairs whose closed form is a sum."""

    def update(self, q: Distribution, p: Distribution) -> None:  # type: ignore[override]
        """Adds posteriors with batch shape ``[B]``."""
        super().update(rate(q, p, q.mean, per_dim=True).flatten(1))


class MutualInformation(Metric):
    r"""Information that z has about which of the N examples it encodes; at most log N.

    .. math:: I = \frac1N \sum_i \log q(z_i|x_i) - \log \frac1N \sum_j q(z_i|x_j),\quad z_i \sim q(z|x_i)

    Args:
        q_of: ``(x, c) -> q(z|x, c)``, with a density that can be evaluated anywhere.
        points: only the first this many examples per process are used.

    Source: Hoffman and Johnson, "ELBO surgery", NeurIPS workshop 2016.
    """

    full_state_update = False
    x: list[Tensor]
    z: list[Tensor]
    c: list[Tensor]

    def __init__(self, q_of: Callable[[Tensor, Tensor | None], Distribution], points: int = 10_000) -> None:
        super().__init__()
        self.q_of, self.points, self._seen = q_of, points, 0
        for name in ("x", "z", "c"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, x: Tensor, z: Tensor, c: Tensor | None = None) -> None:
        """Adds x ``[B, *event]``, one posterior sample of each ``[B, *latent]`` and c ``[B, *condition]``."""
        room = self.points - self._seen
        self._seen += len(x)
        if room > 0:
            self.x.append(x[:room])
            self.z.append(z[:room])
            if c is not None:
                self.c.append(c[:room])

    def reset(self) -> None:
        """Forgets all examples."""
        super().reset()
        self._seen = 0

    @torch.no_grad()
    def compute(self) -> Tensor:
        """The information, ``[]`` nats."""
        x, z = dim_zero_cat(self.x), dim_zero_cat(self.z)
        c = dim_zero_cat(self.c) if len(self.c) else None
        own: list[Tensor] = []
        aggregate = z.new_full((len(z),), -torch.inf, dtype=torch.float64)
        for start in range(0, len(x), AT_ONCE):
            those = slice(start, start + AT_ONCE)
            log_q = _pairs(self.q_of(x[those], None if c is None else c[those]), z).double()  # [N, at once]
            own.append(log_q[those].diagonal().clone())  # a view would keep all of log_q
            aggregate = torch.logaddexp(aggregate, log_q.logsumexp(1))
        return (torch.cat(own) - aggregate + log(len(z))).mean()


def _pairs(q: Distribution, z: Tensor) -> Tensor:
    """log q_j(z_i) for the J posteriors of q and the N points of z, ``[N, J]``."""
    if isinstance(q, DiagonalNormal):  # two products of matrices in place of [N, J, d]
        j = len(q.mean)
        return NormalMixture(q.mean.new_zeros(j), q.mean, q.log_std.expand_as(q.mean)).component_log_probs(z) + log(j)
    return torch.cat([q.log_prob(some.unsqueeze(1)) for some in z.split(AT_ONCE)])
