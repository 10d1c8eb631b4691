"""The VAE with lookup-free quantisation."""

from typing import Any

from vaezoo.batch import Batch
from vaezoo.discrete import Discrete
from vaezoo.registry import register
from vaezoo.schedules import Schedule
from vaezoo.terms import Terms


@register(
    paper="Yu et al., ICLR 2024, section 3.1",
    url="https://arxiv.org/abs/2310.05737",
    family="discrete",
    defaults={"encoder": "conv", "decoder": "conv", "posterior": "lfq", "prior": "pixelcnn"},
    identities=(
        "test_lfq_entropies_at_confident_uniform_codes",
        "test_lfq_entropies_are_those_of_the_enumerated_codes",
    ),
)
class LFQVAE(Discrete):
    r"""Takes the signs of the encoder's vectors as code, kept confident and diverse by an entropy penalty.

    .. math:: \mathcal L = -\log p(x|e) + \lambda\, (E\, H[q(c|v)] - \gamma\, H[E\, q(c|v)])
              + \beta\, \|v - \mathrm{sg}[e]\|^2,\quad e = \mathrm{sign}(v)

    It differs from an FSQ-VAE with two levels in the penalties that take the place of bounds. ``entropy`` and
    ``mean_entropy`` are reported raw, in nats.

    Args:
        entropy: lambda, >= 0.
        gamma: weight of diversity relative to confidence, >= 0.
        beta: weight of the commitment, >= 0.
        prior_share: share of the epochs for the prior, relative to 1 for all else, > 0.
        parts: the parts of :class:`~vaezoo.discrete.Discrete`.

    Raises:
        UsageError: a weight is negative, or prior_share is not positive.

    Source: Yu et al., ICLR 2024 (arXiv 2310.05737), section 3.1.
    """

    weighs = ("commitment", "entropy", "mean_entropy")

    def __init__(
        self,
        entropy: float | Schedule = 0.1,
        gamma: float | Schedule = 1.0,
        beta: float | Schedule = 0.25,
        prior_share: float = 0.5,
        **parts: Any,
    ) -> None:
        super().__init__(prior_share=prior_share, **parts)
        self.entropy = Schedule.of(entropy, minimum=0.0)
        self.gamma = Schedule.of(gamma, minimum=0.0)
        self.beta = Schedule.of(beta, minimum=0.0)

    def terms(self, batch: Batch) -> Terms:
        confident = self.entropy()
        diverse = -confident * self.gamma()
        return super().terms(batch).weighted(commitment=self.beta(), entropy=confident, mean_entropy=diverse)
