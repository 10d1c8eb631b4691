"""The FactorVAE."""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import torch
from torch.nn.functional import softplus

from vaezoo.batch import Batch
from vaezoo.estimators import gathered, own_rows, permuted
from vaezoo.networks.code_critic import code_critic
from vaezoo.programme import Stage, Update
from vaezoo.registry import register
from vaezoo.schedules import Schedule
from vaezoo.terms import Terms
from vaezoo.variational import Variational


@register(
    paper="Kim and Mnih, ICML 2018, eq. 2",
    url="https://arxiv.org/abs/1802.05983",
    family="disentangled",
    limits={"vae": {"gamma": 0.0}},
    latent=10,
    identities=("test_optimal_critic_gives_the_total_correlation", "test_permuting_keeps_each_column"),
)
class FactorVAE(Variational):
    r"""Penalises the total correlation of q(z), which a critic estimates.

    .. math:: \mathcal L = -E\log p(x|z) + KL(q(z|x)\|p(z)) + \gamma\, E_{q(z)} \log\frac{D(z)}{1 - D(z)},\quad
              \mathcal L_D = -\tfrac12 E_{q(z)} \log D(z) - \tfrac12 E_{\bar q(z)} \log(1 - D(z))

    The critic D tells codes from codes whose dimensions were permuted over the batch of all processes; at its best,
    log D / (1 - D) is the log density ratio, which beta-TCVAE estimates from a batch alone. Both sides come from one
    batch, and both players' gradients from one pass, as in disentanglement_lib; the paper permutes a second batch.

    Args:
        gamma: weight of the total correlation, >= 0, a number or a schedule; disentanglement_lib tries 10 to 100.
        hidden: widths of the critic's layers, leaky rectifiers of slope 0.2; the paper's six of 1000 take several times
            the work of a dense VAE.
        lr: the critic's learning rate, > 0; its Adam has betas (0.5, 0.9).
        parts: the parts of :class:`~vaezoo.variational.Variational`.

    Raises:
        UsageError: gamma is negative, or a width is below 1.

    Source: Kim and Mnih, ICML 2018 (arXiv 1802.05983), eqs. 2 and 3, algorithm 2.
    """

    def __init__(
        self,
        gamma: float | Schedule = 10.0,
        hidden: tuple[int, ...] = (256, 256, 256),
        lr: float = 1e-4,
        **parts: Any,
    ) -> None:
        super().__init__(**parts)
        self.gamma, self.adam = Schedule.of(gamma, minimum=0.0), {"lr": lr, "betas": (0.5, 0.9)}
        self.critic = code_critic(getattr(self.posterior, "event", self.shapes.latent), hidden, slope=0.2)

    def programme(self) -> Sequence[Stage]:
        vae = [self.encoder, self.posterior, self.prior, self.decoder, self.likelihood]
        critic = Update("critic", itemgetter("critic"), [self.critic], optimizer=self.adam)
        return [Stage("game", [Update("vae", itemgetter("vae"), vae), critic], shared=self.game)]

    def terms(self, batch: Batch) -> Terms:
        return self.game(batch)["vae"]

    def game(self, batch: Batch) -> dict[str, Terms]:
        """The VAE's objective, and the critic's, minus [log D(z) + log(1 - D(permuted z))] / 2, from one pass."""
        c = self.condition(batch)
        (latent,) = levels = self.latents(batch.x, c)
        elbo = self.elbo(batch.x, c, levels=levels)
        with torch.no_grad():
            product = own_rows(permuted(gathered(latent.z)))
        joint = self.critic(latent.z)  # apart from the other, whose gradient the VAE does not want
        judging = Terms(joint=softplus(-joint), product=softplus(self.critic(product)).mean())
        return {
            "vae": Terms(**elbo, total_correlation=joint).weighted(total_correlation=self.gamma()),
            "critic": judging.weighted(joint=0.5, product=0.5),
        }
