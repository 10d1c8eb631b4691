"""A mixture of normal distributions with independent components."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.types import _size

from vaezoo.distributions import noise


class NormalMixture(Distribution):
    r"""sum_k pi_k N(mean_k, diag(std_k^2)), without batch shape.

    .. math:: \log p(x) = \log \sum_k \pi_k \prod_i \mathcal N(x_i; \mu_{ki}, \sigma_{ki}^2)

    Samples are drawn by choosing a component first, so they carry no gradient to the parameters.

    Args:
        logits: unnormalised log pi, ``[K]``.
        means: ``[K, *event]``.
        log_stds: natural logarithms of the standard deviations, ``[K, *event]``.
    """

    arg_constraints: dict = {}  # type: ignore[assignment]

    def __init__(self, logits: Tensor, means: Tensor, log_stds: Tensor) -> None:
        self.logits, self.means, self.log_stds = logits, means, log_stds
        super().__init__(torch.Size(), means.shape[1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return torch.tensordot(self.logits.softmax(0), self.means, 1)

    @property
    def variance(self) -> Tensor:
        squares = self.means.square() + (2 * self.log_stds).exp()
        return torch.tensordot(self.logits.softmax(0), squares, 1) - self.mean.square()

    @property
    def stddev(self) -> Tensor:
        return self.variance.sqrt()

    def sample(self, sample_shape: _size = ()) -> Tensor:
        with torch.no_grad():
            chosen = self.sample_components(sample_shape)
            epsilon = noise.normal((*sample_shape, *self._event_shape), self.means)
            return torch.addcmul(self.means[chosen], self.log_stds[chosen].exp(), epsilon)

    def sample_components(self, sample_shape: _size = ()) -> Tensor:
        """Component numbers drawn from pi, long ``sample_shape``."""
        below = noise.uniform(sample_shape, self.logits).unsqueeze(-1) > self.logits.softmax(0).cumsum(0)[:-1]
        return below.sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        scores = self.component_log_probs(value)
        # exp(-80) adds nothing beside exp(0), and CPUs are many times slower where exp underflows
        return scores.clamp(min=scores.detach().amax(-1, keepdim=True) - 80).logsumexp(-1)

    def component_log_probs(self, value: Tensor) -> Tensor:
        """log pi_k + log N(value; mean_k, std_k^2), ``[..., K]``; its softmax is the probability of each component."""
        means, log_stds = self.means.flatten(1), self.log_stds.flatten(1)
        lead = value.shape[: value.ndim - len(self._event_shape)]
        # -0.5 ((x - m) / s)^2 = a x^2 + b x + c summed over dimensions is two products of matrices, [N, K, D] is never
        # formed. The squares cancel: hence double precision, which neither autocast nor TF32 reduces.
        x, m = value.reshape(-1, means.shape[1]).double(), means.double()
        a = -0.5 * torch.exp(-2 * log_stds).double()
        constant = self.logits.log_softmax(0) - log_stds.sum(1) - 0.5 * means.shape[1] * math.log(2 * math.pi)
        b, c = -2 * a * m, (a * m.square()).sum(1) + constant  # [K, D], [K]
        return torch.addmm(torch.addmm(c, x.square(), a.T), x, b.T).to(value.dtype).reshape(*lead, -1)
