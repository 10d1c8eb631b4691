"""The beta-TCVAE."""

from typing import Any, Literal

import torch

from vaezoo.batch import Batch
from vaezoo.errors import UsageError
from vaezoo.estimators import decomposed_rate, gathered
from vaezoo.posteriors.diagonal import DiagonalPosterior
from vaezoo.registry import register
from vaezoo.schedules import Schedule
from vaezoo.terms import Terms
from vaezoo.variational import Variational


@register(
    paper="Chen et al., NeurIPS 2018, eq. 4",
    url="https://arxiv.org/abs/1802.04942",
    family="disentangled",
    limits={"vae": {"alpha": 1.0, "beta": 1.0, "gamma": 1.0}},
    latent=10,
    requires=("factorised",),
    identities=(
        "test_parts_of_the_rate_sum_to_it_example_by_example",
        "test_total_correlation_of_a_gaussian_is_its_closed_form",
    ),
)
class BetaTCVAE(Variational):
    r"""Weighs the three parts of the rate apart: what z says of x, how dependent its dimensions are, and the rest.

    .. math:: \mathcal L = -E \log p(x|z) + \alpha\,\underbrace{I_q(x;z)}_{\text{mutual information}} + \beta\,
              \underbrace{KL(q(z)\|\prod_j q(z_j))}_{\text{total correlation}} + \gamma \sum_j KL(q(z_j)\|p(z_j))

    The three sum to the rate, so that the loss is written as distortion + rate + (alpha - 1) mutual_information +
    (beta - 1) total_correlation + (gamma - 1) dimension_kl: at 1, 1, 1 it is the VAE, noise of the estimates included.
    They are estimated from the batch, all processes together; see :func:`~vaezoo.estimators.decomposed_rate`.

    Args:
        alpha: weight of the mutual information, >= 0.
        beta: weight of the total correlation, >= 0, a number or a schedule.
        gamma: weight of the dimension-wise KL, >= 0.
        estimator: ``weighted``: the paper's, biased; ``stratified``: q(z) estimated without bias. The stratified
            weights are the corrected ones, not those of the authors' code.
        parts: the parts of :class:`~vaezoo.variational.Variational`.

    Raises:
        UsageError: a weight is negative, the posterior is not diagonal normal or the estimator is unknown.

    Source: Chen et al., NeurIPS 2018 (arXiv 1802.04942), eqs. 2-4, appendix C.
    """

    densities = ("any",)

    def __init__(
        self,
        alpha: float = 1.0,
        beta: float | Schedule = 6.0,
        gamma: float = 1.0,
        estimator: Literal["weighted", "stratified"] = "weighted",
        **parts: Any,
    ) -> None:
        super().__init__(**parts)
        if not isinstance(self.posterior, DiagonalPosterior):
            raise UsageError("variant=beta_tcvae needs q(z_j), a mixture of normals: use posterior=diagonal")
        self.alpha, self.beta, self.gamma = (Schedule.of(weight, minimum=0.0) for weight in (alpha, beta, gamma))
        if estimator not in ("weighted", "stratified"):
            raise UsageError(f"variant.estimator={estimator} must be weighted or stratified")
        self.stratified = estimator == "stratified"

    def terms(self, batch: Batch) -> Terms:
        c = self.condition(batch)
        levels: Any = self.latents(batch.x, c)
        ((q, p, z),) = levels
        z, mean, log_std = gathered(torch.stack([z, q.mean, q.log_std.expand_as(z)], 1)).unbind(1)  # [B, *latent] each
        parts = decomposed_rate(z, mean, log_std, p.log_prob(z), self.shapes.train_size, self.stratified)
        coupled = {name: each.mean() for name, each in parts._asdict().items()}
        return Terms(**self.elbo(batch.x, c, levels=levels), **coupled).weighted(
            mutual_information=self.alpha() - 1, total_correlation=self.beta() - 1, dimension_kl=self.gamma() - 1
        )
