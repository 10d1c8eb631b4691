"""The VAE whose reconstruction error is measured in the features of a critic."""

from collections.abc import Sequence
from copy import deepcopy
from operator import itemgetter
from typing import Any

import torch
from torch.nn.functional import softplus

from vaezoo.batch import Batch
from vaezoo.estimators import rate
from vaezoo.networks.adapt import adapt
from vaezoo.networks.critic import Critic, distance
from vaezoo.programme import Stage, Update
from vaezoo.registry import register
from vaezoo.terms import Terms
from vaezoo.variational import Variational


@register(
    paper="Larsen et al., ICML 2016, algorithm 1",
    url="https://arxiv.org/abs/1512.09300",
    family="adversarial",
    defaults={"encoder": "conv", "decoder": "conv", "likelihood": "gaussian"},
    identities=("test_vae_gan_reconstruction_does_not_move_the_critic", "test_each_update_moves_only_its_own_modules"),
)
class VAEGAN(Variational):
    r"""Replaces the pixel-wise distortion by a Gaussian one on a critic's features, and adds the critic's game.

    .. math:: \mathcal L_{enc} = \mathcal L_{prior} + \mathcal L_{feat},\quad
              \mathcal L_{dec} = \gamma\,\mathcal L_{feat} - \mathcal L_{GAN},\quad \mathcal L_D = -\mathcal L_{GAN}

    :math:`\mathcal L_{prior} = KL(q\|p)`, :math:`\mathcal L_{feat} = \frac12\|D_l(x) - D_l(\tilde x)\|^2` and
    :math:`\mathcal L_{GAN} = \log D(x) + \log(1-D(\tilde x)) + \log(1-D(x_p))`; :math:`\tilde x` decodes a sample of q,
    :math:`x_p` one of p. The decoder plays the non-saturating game. ``distortion`` is reported only.

    Args:
        gamma: weight of the feature distortion for the decoder, >= 0.
        betas: Adam's betas.
        critic: factory of :math:`D_l`, like an encoder's, which None takes.
        parts: the parts of :class:`~vaezoo.variational.Variational`.

    Source: Larsen et al., ICML 2016 (arXiv 1512.09300).
    """

    def __init__(self, gamma: float = 1.0, betas: tuple[float, ...] = (0.5, 0.999), critic: Any = None, **parts: Any):
        super().__init__(**parts)
        self.gamma, self.adam = gamma, {"betas": tuple(betas)}
        self.critic = Critic(adapt(critic or deepcopy(parts["encoder"]), self.shapes.replace(condition=()), "encoder"))

    def programme(self) -> Sequence[Stage]:
        inference, generation = [self.encoder, self.posterior, self.prior], [self.decoder, self.likelihood]
        players: dict[str, list[Any]] = {"encoder": inference, "decoder": generation, "critic": [self.critic]}
        updates = [Update(name, itemgetter(name), parts, optimizer=self.adam) for name, parts in players.items()]
        return [Stage("game", updates, shared=self.game)]

    def terms(self, batch: Batch) -> Terms:
        return self.game(batch)["encoder"]

    def game(self, batch: Batch) -> dict[str, Terms]:
        """The terms of each player, from one pass of each network."""
        c = self.condition(batch)
        (latent,) = self.latents(batch.x, c)
        px = self.decode(torch.stack([latent.z, self.ancestral(len(batch.x), c)]), c)  # of [2, B]
        h = self.critic.features(batch.x, *px.mean)
        feature, elbo = distance(*h[:2]), Terms(distortion=-px.log_prob(batch.x)[0], rate=rate(*latent))
        real, *fakes = map(self.critic.judge, h)
        fooling, judging = softplus(-torch.stack(fakes)).sum(0), softplus(torch.stack([-real, *fakes])).sum(0)
        return {
            "encoder": Terms(**elbo, feature=feature).weighted(distortion=0.0),
            "decoder": Terms(feature=feature, game=fooling).weighted(feature=self.gamma),
            "critic": Terms(game=judging),
        }
