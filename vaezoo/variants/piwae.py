"""The partially importance-weighted autoencoder."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from vaezoo.batch import Batch
from vaezoo.errors import UsageError
from vaezoo.estimators import importance_terms
from vaezoo.programme import Stage, Update
from vaezoo.registry import register
from vaezoo.terms import Terms
from vaezoo.variational import Variational


@register(
    paper="Rainforth et al., ICML 2018, section 5",
    url="https://arxiv.org/abs/1802.04537",
    family="importance",
    limits={"iwae": {"bounds": 1, "samples": 5}},
    identities=("test_limit_agrees", "test_piwae_moves_each_network_along_its_own_bound"),
)
class PIWAE(Variational):
    r"""Trains the generative model on the tightest bound of MK samples, and the encoder on M bounds of K.

    .. math:: \theta:\ \max \log \frac1{MK} \sum_{m,k} w_{mk},\qquad
              \phi:\ \max \frac1M \sum_{m=1}^M \log \frac1K \sum_{k=1}^K w_{mk}

    Theta (decoder, likelihood, prior) follows the IWAE, phi (encoder, posterior) the MIWAE, both on the same
    samples. ``iw_bound`` is minus the bound of the update; distortion and rate are reported only.

    Args:
        bounds: M, how many bounds the encoder averages, >= 1; 1 is the IWAE with two players.
        samples: K, samples in each of them, >= 1.
        parts: the parts of :class:`~vaezoo.variational.Variational`.

    Raises:
        UsageError: bounds or samples is below 1.

    Source: Rainforth et al., ICML 2018 (arXiv 1802.04537), section 5.
    """

    def __init__(self, bounds: int = 8, samples: int = 8, **parts: Any) -> None:
        super().__init__(**parts)
        if min(bounds, samples) < 1:
            raise UsageError(f"variant.bounds={bounds} and variant.samples={samples} must both be at least 1")
        self.bounds, self.samples = bounds, samples

    def programme(self) -> Sequence[Stage]:
        def tightest(weighed: tuple[Tensor, Tensor]) -> Terms:
            return importance_terms(*weighed)

        def averaged(weighed: tuple[Tensor, Tensor]) -> Terms:
            return importance_terms(*weighed, self.bounds)

        theta = Update("theta", tightest, [self.decoder, self.likelihood, self.prior])
        phi = Update("phi", averaged, [self.encoder, self.posterior])
        return [Stage("train", [theta, phi], shared=self.weighed)]

    def terms(self, batch: Batch) -> Terms:
        return importance_terms(*self.weighed(batch))

    def weighed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """log p(x|z) and log p(z) - log q(z|x) of all MK samples, ``[MK, B]`` each."""
        return self.weigh(batch.x, self.bounds * self.samples, self.condition(batch))
