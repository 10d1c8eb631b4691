"""The adversarial autoencoder."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import softplus

from vaezoo.aggregate import Aggregate
from vaezoo.batch import Batch
from vaezoo.errors import UsageError
from vaezoo.networks.code_critic import code_critic
from vaezoo.programme import Stage, Update
from vaezoo.registry import register
from vaezoo.terms import Terms


@register(
    paper="Makhzani et al., ICLR workshop 2016, section 2",
    url="https://arxiv.org/abs/1511.05644",
    family="adversarial",
    defaults={"posterior": "point", "likelihood": "gaussian"},
    limits={"autoencoder": {"players": 2, "weight": 0.0}},
    latent=8,
    identities=("test_aae_critic_has_the_value_of_its_optimum", "test_each_update_moves_only_its_own_modules"),
)
class AAE(Aggregate):
    r"""Reconstructs, and fools a critic that tells codes of data from draws of the prior.

    .. math:: \max_D E_{p(z)} \log D(z) + E_{q(z)} \log(1 - D(z)),\quad
              \min_{q, G} -E \log p(x|z) - \lambda E_{q(z)} \log D(z)

    The best critic is p / (p + q); the game ends at q(z) = p(z) with value -2 log 2. The prior is given, not learned.
    ``posterior=diagonal`` makes the encoder random. WAE-MMD has a divergence in place of the game.

    Args:
        players: 3: reconstruction, critic and encoder take a step each, as in the paper; 2: first and last share one.
        weight: lambda, >= 0; where the encoder has a step of its own, Adam hardly sees it.
        hidden: widths of the critic's layers.
        game_lr: learning rate of the game's own steps, > 0, as a share of ``optimizer.lr``; their betas are (0.5, 0.9).
            The encoder has two masters: where the game's steps are as long as those of the reconstruction, codes are
            matched and say little; where they are too short, codes are not matched.
        parts: the parts of :class:`~vaezoo.aggregate.Aggregate`.

    Raises:
        UsageError: there are neither 2 nor 3 players, the weight is negative, game_lr is not positive or a width is
            below 1.

    Source: Makhzani et al., 2016 (arXiv 1511.05644), section 2.
    """

    def __init__(
        self,
        players: int = 3,
        weight: float = 1.0,
        hidden: tuple[int, ...] = (1000, 1000),
        game_lr: float = 0.5,
        **parts: Any,
    ) -> None:
        super().__init__(**parts)
        if players not in (2, 3) or weight < 0:
            raise UsageError(f"variant.players={players} must be 2 or 3, and variant.weight={weight} >= 0")
        if game_lr <= 0:
            raise UsageError(f"variant.game_lr={game_lr} must be positive")
        self.players, self.weight = players, weight
        self.adam = {"lr": game_lr * self.optimizer_options["lr"], "betas": (0.5, 0.9)}
        self.critic = code_critic(getattr(self.posterior, "event", self.shapes.latent), hidden, slope=0.0)

    def programme(self) -> Sequence[Stage]:
        critic = Update("critic", self.judging, [self.critic], optimizer=self.adam)
        encoder = Update("encoder", self.fooling, [self.encoder, self.posterior], optimizer=self.adam)
        steps = [Update("autoencoder", self.terms, self.autoencoder), critic, encoder]
        return [Stage("game", steps[: self.players])]

    def terms(self, batch: Batch) -> Terms:
        ((*_, z),) = levels = self.latents(batch.x)
        terms = self.matched(batch.x, None, levels, game=softplus(-self.critic(z)))
        return terms.weighted(game=self.weight if self.players == 2 else 0.0)

    def judging(self, batch: Batch) -> Terms:
        """Minus [log D of the prior's draws + log(1 - D) of the codes]."""
        with torch.no_grad():
            ((*_, z),), drawn = self.latents(batch.x), self.ancestral(len(batch.x))
        return Terms(prior=softplus(-self.critic(drawn)), codes=softplus(self.critic(z)))

    def fooling(self, batch: Batch) -> Terms:
        """-lambda log D of the codes."""
        ((*_, z),) = self.latents(batch.x)
        return Terms(game=softplus(-self.critic(z))).weighted(game=self.weight)
