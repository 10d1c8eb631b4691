"""The VAE on the codes of a VAE."""

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any, ClassVar

from torch import Tensor

from vaezoo.batch import Batch
from vaezoo.errors import UsageError
from vaezoo.networks import mlp
from vaezoo.programme import Stage, Update
from vaezoo.registry import register
from vaezoo.terms import Terms
from vaezoo.variants.vae import VAE
from vaezoo.variational import Variational


@register(
    paper="Dai and Wipf, ICLR 2019",
    url="https://arxiv.org/abs/1903.05789",
    family="prior",
    defaults={"likelihood": "gaussian"},
    latent=64,
    identities=("test_second_stage_leaves_the_first_alone", "test_learned_variance_is_best_at_the_squared_error"),
)
class TwoStageVAE(Variational):
    r"""Trains a VAE with a learned variance, then a second VAE on its codes, from which samples come.

    .. math:: \mathcal L_1 = E_{q(z|x)} \frac{\|x - \hat x\|^2}{2\gamma} + \tfrac D2 \log 2\pi\gamma + KL(q(z|x)\|p(z)),
              \quad \mathcal L_2 = E_{q(u|z)} \frac{\|z - \hat z\|^2}{2\gamma_z} + \tfrac d2 \log 2\pi\gamma_z
              + KL(q(u|z)\|p(u)),\ z \sim q(z|x)

    Samples go u -> z -> x. The second stage mends the gap between the codes and the prior, as an ex-post density does,
    but leaves the likelihood alone: ``distortion``, ``rate``, the evidence bound and every estimate of log p(x) are the
    first stage's, under its own prior. ``code_distortion`` and ``code_rate`` are the second's, of z given u.

    Args:
        hidden: widths of the second stage's dense networks; u has as many dimensions as z.
        second: epochs of the second stage relative to 1 for the first, > 0.
        parts: the parts of :class:`~vaezoo.variational.Variational`; ``likelihood=gaussian`` learns gamma.

    Raises:
        UsageError: second is not positive, or a width is below 1.

    Source: Dai and Wipf, ICLR 2019 (arXiv 1903.05789); 400 and 800 epochs, 1024 units.
    """

    supports: ClassVar[tuple[str, ...]] = ("real",)

    def __init__(self, hidden: tuple[int, ...] = (1024, 1024, 1024), second: float = 2.0, **parts: Any) -> None:
        super().__init__(**parts)
        if second <= 0:
            raise UsageError(f"variant.second={second} must be positive: epochs relative to those of the first stage")
        self.share = second
        event = tuple(getattr(self.posterior, "event", self.shapes.latent))
        codes = self.shapes.replace(event=event, latent=(prod(event),), support="real", range=(-1.0, 1.0), mean=None)
        networks: Any = {"encoder": partial(mlp.Encoder, hidden=hidden), "decoder": partial(mlp.Decoder, hidden=hidden)}
        self.second = VAE(shapes=codes, **networks)

    def programme(self) -> Sequence[Stage]:
        parts = [self.encoder, self.posterior, self.prior, self.decoder, self.likelihood]
        first = Update("first", lambda batch: self.elbo(batch.x, self.condition(batch)), parts)
        second = Update("second", self.codes, [self.second])
        return [Stage("first", [first]), Stage("second", [second], self.share)]

    def terms(self, batch: Batch) -> Terms:
        return Terms(**self.elbo(batch.x, self.condition(batch)), **self.codes(batch))

    def codes(self, batch: Batch) -> Terms:
        """The second stage's evidence bound on codes of the batch."""
        (latent,) = self.latents(batch.x, self.condition(batch))
        elbo = self.second.elbo(latent.z.detach())
        return Terms(**{f"code_{name}": term for name, term in elbo.items()})

    def ancestral(self, n: int, c: Tensor | None = None) -> Tensor:
        """n draws of z from p(z|u), u from p(u), ``[n, *latent]``."""
        return self.second.decode(self.second.ancestral(n)).sample()
