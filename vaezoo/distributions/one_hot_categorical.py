"""Independent categorical variables as one-hot vectors, with relaxed samples."""

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn.functional import one_hot
from torch.types import _size

from vaezoo.distributions import noise


class OneHotCategorical(Distribution):
    r"""n independent choices among K, each a one-hot row.

    .. math:: \log P(z) = \sum_{ik} z_{ik} \log \pi_{ik},\quad \pi = \mathrm{softmax}(\mathrm{logits})

    ``sample`` draws one-hot rows. ``rsample`` draws the Gumbel-softmax rows
    :math:`y_i = \mathrm{softmax}((\log \pi_i + g_i) / \tau)`, whose argmax is such a draw at every temperature. Their
    density is never used: ``log_prob`` is exact at one-hot rows, and at relaxed ones it is the linear extension above,
    no density of theirs.

    Args:
        logits: unnormalised log pi, ``[B, n, K]`` or ``[n, K]``.
        temperature: tau > 0 of ``rsample``.
        straight_through: ``rsample`` gives one-hot rows that have the gradient of the relaxed ones.

    Source: Jang et al., ICLR 2017 (arXiv 1611.01144), eq. 1 and 2.
    """

    arg_constraints: dict = {}  # type: ignore[assignment]
    has_rsample = True

    def __init__(self, logits: Tensor, temperature: float | Tensor = 1.0, straight_through: bool = False) -> None:
        self.log_probs = logits.log_softmax(-1)
        self.temperature, self.straight_through = temperature, straight_through
        super().__init__(logits.shape[:-2], logits.shape[-2:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """pi, ``[B, n, K]``."""
        return self.log_probs.exp()

    @property
    def mode(self) -> Tensor:
        return self._hard(self.log_probs)

    def sample(self, sample_shape: _size = ()) -> Tensor:
        with torch.no_grad():
            return self._hard(self._perturbed(sample_shape))

    def rsample(self, sample_shape: _size = ()) -> Tensor:
        relaxed = (self._perturbed(sample_shape) / self.temperature).softmax(-1)  # [*sample_shape, B, n, K]
        return self._hard(relaxed) + (relaxed - relaxed.detach()) if self.straight_through else relaxed

    def log_prob(self, value: Tensor) -> Tensor:
        return (value * self.log_probs).sum((-2, -1))

    def _perturbed(self, sample_shape: _size) -> Tensor:
        batch = len(sample_shape) if self._batch_shape else None
        return self.log_probs + noise.gumbel((*sample_shape, *self.log_probs.shape), self.log_probs, batch)

    def _hard(self, scores: Tensor) -> Tensor:
        return one_hot(scores.argmax(-1), scores.shape[-1]).to(scores.dtype)
