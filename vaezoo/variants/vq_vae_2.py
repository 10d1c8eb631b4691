"""The hierarchical vector-quantised variational autoencoder."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.distributions import Distribution

from vaezoo.batch import Batch
from vaezoo.discrete import Discrete
from vaezoo.networks.top_level import TopLevel
from vaezoo.registry import register
from vaezoo.schedules import Schedule
from vaezoo.terms import Terms
from vaezoo.variational import Latent


@register(
    paper="Razavi et al., NeurIPS 2019, algorithm 1",
    url="https://arxiv.org/abs/1906.00446",
    family="discrete",
    defaults={"encoder": "conv", "decoder": "conv", "posterior": "vq", "prior": "pixelcnn"},
    identities=("test_vq_vae_2_without_its_top_level_is_a_vq_vae",),
)
class VQVAE2(Discrete):
    r"""Codes the global structure at half the resolution (top), and what is left given that (bottom).

    .. math:: \mathcal L = -\log p(x|e_t, e_b) + \beta \sum_l \|v_l - \mathrm{sg}[e_l]\|^2,\quad
              p(z) = p(z_t)\, p(z_b|z_t)

    :math:`v_t` reads half the encoder's features, :math:`v_b` all of them plus a map of :math:`e_t`; the decoder reads
    :math:`e_b` plus another map of it. With both maps at 0 this is a VQ-VAE.

    Args:
        beta: weight of the commitment of both levels, >= 0.
        prior_share: share of the epochs for the priors, relative to 1 for all else, > 0.
        parts: the parts of :class:`~vaezoo.discrete.Discrete`; both levels use the same posterior and prior.

    Raises:
        UsageError: the latent is no grid, beta is negative, or prior_share is not positive.

    Source: Razavi et al., NeurIPS 2019 (arXiv 1906.00446), algorithms 1 and 2.
    """

    weighs = ("commitment",)

    def __init__(self, beta: float | Schedule = 0.25, prior_share: float = 0.5, **parts: Any) -> None:
        super().__init__(prior_share=prior_share, **{**parts, "prior": nn.Identity()})
        self.beta = Schedule.of(beta, minimum=0.0)
        shapes, prior = self.shapes.replace(features=self.encoder.features), parts["prior"]
        self.top = TopLevel(shapes, self.embedded, parts["posterior"])
        top, bottom = self.quantizers = [self.top.quantizer, self.posterior]
        self.prior = prior(shapes.replace(latent=top.event, codes=top.codes))
        self.bottom_prior: Any = prior(shapes.replace(latent=bottom.event, codes=bottom.codes, condition=self.embedded))
        self.priors = [self.prior, self.bottom_prior]

    def terms(self, batch: Batch) -> Terms:
        return super().terms(batch).weighted(commitment=self.beta())

    def latents(self, x: Tensor, c: Tensor | None = None, k: int | None = None, given: Any = None) -> Any:
        q_top, above, h = self.top(self.encoder(x))
        q = self.posterior(h).shifted(above)
        pairs = [(q_top, self.p()), (q, self.bottom_prior(self.q, above.detach()))]
        lead = () if k is None else (k,)
        return tuple(Latent(q, p, q.rsample(lead) if self.training else q.sample(lead)) for q, p in pairs)

    def joined(self, levels: Sequence[Latent]) -> Tensor:
        return levels[-1].q.rsample()

    def q(self, x: Tensor, c: Tensor | None = None) -> Distribution:
        return self.latents(x)[-1].q

    def ancestral(self, n: int, c: Tensor | None = None) -> Tensor:
        above = self.top.above(super().ancestral(n))
        return above + self.quantizers[1].embed(self.bottom_prior(self.q, above).sample())

    def start_codes(self, h: Tensor) -> None:
        self.top.fit(h)
        self.quantizers[1].fit(self.top(h).features)
