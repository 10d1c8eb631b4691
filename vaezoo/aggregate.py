"""What models share that match the codes of all data to a prior."""

from abc import ABC
from collections.abc import Sequence

from torch import Tensor, nn

from vaezoo.programme import Stage, Update
from vaezoo.terms import Terms
from vaezoo.variational import Latent, Variational, rates


class Aggregate(Variational, ABC):
    """Matches q(z), the codes of all data, to the prior, where a VAE matches q(z|x) of each example.

    So q(z|x) needs no density: there is no rate then and no bound on p(x), yet sampling from the prior works. The
    prior is given, not learned. A subclass states its divergence in ``terms``.

    Args:
        parts: the parts of :class:`~vaezoo.variational.Variational`; a posterior with a density has its rate reported.
    """

    densities = ("any", "own", "none")

    @property
    def autoencoder(self) -> list[nn.Module]:
        """Everything that learns but a critic."""
        return [self.encoder, self.posterior, self.decoder, self.likelihood]

    def programme(self) -> Sequence[Stage]:
        return [Stage("train", [Update("train", self.terms, self.autoencoder)])]

    def matched(self, x: Tensor, c: Tensor | None, levels: Sequence[Latent], **divergence: Tensor) -> Terms:
        """``distortion`` and a divergence from the prior; the rate, where there is one, is reported at weight 0.

        Args:
            x: data, ``[B, *event]``.
            c: condition, ``[B, *condition]``.
            levels: what ``latents`` gave.
            divergence: its term by name.
        """
        rate = {} if self.posterior.density == "none" else rates(levels)
        distortion = -self.decode(self.joined(levels), c).log_prob(x)
        return Terms(distortion=distortion, **rate, **divergence).weighted(**dict.fromkeys(rate, 0.0))
