"""Latents from the aggregate posterior itself."""

from torch import Tensor

from vaezoo.distributions import noise
from vaezoo.evaluate.mode import evaluating
from vaezoo.samplers.codes import Codes, Sampler


def fit(codes: Codes, seed: int = 0) -> Sampler:
    r""":math:`z \sim q(z) = \frac1N \sum_n q(z|x_n)`: the code of a training example that is drawn each time.

    The pictures resemble training examples, so this is no model of the data: it shows how good the others can get.
    """

    def sampler(n: int) -> Tensor:
        u = noise.uniform((n,), next(codes.model.parameters()))
        index = (u.double() * len(codes.split)).long().clamp(max=len(codes.split) - 1)
        with evaluating(codes.model):
            return codes.of(index.cpu())

    return sampler
