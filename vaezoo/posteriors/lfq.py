"""Lookup-free quantisation."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from vaezoo.errors import UsageError
from vaezoo.estimators import gathered
from vaezoo.posteriors.quantizer import Quantised, Quantizer
from vaezoo.registry import register
from vaezoo.shapes import Shapes

TOGETHER = 9  # bits whose joint distribution is enumerated


@register(paper="Yu et al., ICLR 2024, section 3.1", url="https://arxiv.org/abs/2310.05737", latent=(9, 4, 4))
class LFQPosterior(Quantizer):
    r"""Each dimension becomes its sign, so that a code is a word of d bits.

    .. math:: e_i = \mathrm{sign}(v_i),\quad z = \sum_i 2^{i-1}\, 1[v_i > 0],\quad
              q(c|v) \propto \exp(-\|v - c\|^2 / \tau),\ c \in \{-1, 1\}^d

    Finite scalar quantisation with two levels, in which entropies replace the bounds. The penalties are ``commitment``,
    ``entropy`` = E H(q(c|v)), small where codes are confident, and ``mean_entropy`` = H(E q(c|v)) over all positions of
    the batch, large where all codes are in use; nats. The first is exact, as bits are independent given v; the second
    is exact within words of 9 bits and summed over words, an upper bound.

    Args:
        shapes: reads ``features`` and the grid of ``latent``; the size of a vector is ``bits``.
        bits: d, >= 1; K = 2^d.
        temperature: tau, > 0.

    Raises:
        UsageError: an argument is out of range, or the grid of the features is not that of the latent.

    Source: Yu et al., ICLR 2024 (arXiv 2310.05737), section 3.1.
    """

    gives = ("commitment", "entropy", "mean_entropy")

    def __init__(self, shapes: Shapes, bits: int = 9, temperature: float = 1.0) -> None:
        if not 1 <= bits <= 62:
            raise UsageError(f"posterior.bits={bits} must be in [1, 62]")
        if not temperature > 0:
            raise UsageError(f"posterior.temperature={temperature} must be positive")
        super().__init__(shapes, bits, 2**bits)
        self.temperature = temperature
        self.places: Tensor
        self.register_buffer("places", 2 ** torch.arange(bits), persistent=False)

    def quantise(self, v: Tensor) -> Quantised:
        positive = v > 0
        codes = (positive * self.places).sum(-1)
        e = positive.to(v.dtype) * 2 - 1
        logits = 4 * v / self.temperature  # of a bit being 1: |v + 1|^2 - |v - 1|^2 = 4 v
        penalties = {
            "commitment": (v - e).square().sum(-1).mean(-1),
            "entropy": bit_entropy(logits).sum(-1).mean(-1),
            "mean_entropy": mean_entropy(logits.flatten(0, 1)),
        }
        return codes.unsqueeze(1), e, penalties

    def look_up(self, codes: Tensor) -> Tensor:
        bits = codes.squeeze(-2).unsqueeze(-1) // self.places % 2  # [*, P, d]
        return bits.to(self.head.weight.dtype) * 2 - 1


def bit_entropy(logits: Tensor) -> Tensor:
    """Entropy of independent bits that are 1 with probability sigmoid(logits), ``[*, d]`` nats each."""
    one, zero = logsigmoid(logits), logsigmoid(-logits)
    return -(one.exp() * one + zero.exp() * zero)


def mean_entropy(logits: Tensor) -> Tensor:
    """Entropy of the mean over ``n`` of the words of bits with ``logits [n, d]``, over all processes, ``[]`` nats."""
    total = logits.new_zeros(())
    for some in logits.split(TOGETHER, -1):
        words = logits.new_zeros(len(some), 1)  # log q of every word, [n, 2^bits]
        for bit in some.unbind(1):
            both = torch.stack([logsigmoid(-bit), logsigmoid(bit)], 1)
            words = (both.unsqueeze(2) + words.unsqueeze(1)).flatten(1)
        mean = gathered(words.exp().mean(0, keepdim=True)).mean(0)
        total = total - torch.special.xlogy(mean, mean).sum()
    return total
