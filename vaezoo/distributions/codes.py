"""A point mass on discrete codes."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.types import _size

from vaezoo.distributions.autoregressive_codes import AutoregressiveCodes
from vaezoo.distributions.kl import register
from vaezoo.distributions.uniform_codes import UniformCodes


class Codes(Distribution):
    r"""The codes z(x) that a quantizer chooses, and what the decoder reads in their place.

    .. math:: q(z|x) = 1[z = z(x)],\quad \mathrm{rsample} = e + v - \mathrm{sg}[v]

    Unlike a point mass in R^d it has a rate: codes are countable, so log q is 0 at z(x) and the rate is -log p(z(x)).
    ``sample`` gives the codes; ``rsample`` gives their embedding e, with the gradients of the encoder's v
    (straight-through) and none for e.

    Args:
        codes: z(x), long ``[B, *event]``.
        embedding: e, ``[B, *embedded]``.
        vectors: v, which was quantised, ``[B, *embedded]``.
        penalties: what the quantizer adds to the objective, ``[B]`` each, or ``[]`` where a term couples the batch.

    Source: van den Oord et al., NeurIPS 2017 (arXiv 1711.00937), eq. 1 and 2.
    """

    arg_constraints: dict = {}  # type: ignore[assignment]
    has_rsample = True

    def __init__(
        self, codes: Tensor, embedding: Tensor, vectors: Tensor, penalties: Mapping[str, Tensor] | None = None
    ) -> None:
        self.codes, self.embedding, self.vectors = codes, embedding, vectors
        self.penalties = dict(penalties or {})
        super().__init__(codes.shape[:1], codes.shape[1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """e, ``[B, *embedded]``."""
        return self.embedding

    @property
    def mode(self) -> Tensor:
        return self.embedding

    @property
    def stddev(self) -> Tensor:
        return torch.zeros_like(self.embedding)

    def rsample(self, sample_shape: _size = ()) -> Tensor:
        """e with the gradients of v, ``[*sample_shape, B, *embedded]``."""
        e = self.embedding.detach() + (self.vectors - self.vectors.detach())  # exactly e: the bracket is 0
        return e.expand(*sample_shape, *e.shape)

    def sample(self, sample_shape: _size = ()) -> Tensor:
        """z(x), long ``[*sample_shape, B, *event]``."""
        return self.codes.expand(*sample_shape, *self.codes.shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """0 at z(x), or at its embedding where ``value`` is floating; minus infinity elsewhere."""
        own = self.embedding if value.is_floating_point() else self.codes
        differs = (value != own).flatten(value.ndim - own.ndim + 1).any(-1)  # [*, B]
        return self.embedding.new_zeros(differs.shape).masked_fill(differs, -torch.inf)

    def shifted(self, by: Tensor) -> "Codes":
        """The same codes, read together with what other codes have said: ``by [B, *embedded]`` is added to e and v."""
        return Codes(self.codes, self.embedding + by, self.vectors + by, self.penalties)


@register(Codes, UniformCodes)
@register(Codes, AutoregressiveCodes)
def _codes(q: Codes, p: Distribution) -> Tensor:
    return -p.log_prob(q.codes)
