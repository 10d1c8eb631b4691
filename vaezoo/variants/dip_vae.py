"""The VAE with a disentangled inferred prior."""

from typing import Any, Literal

import torch

from vaezoo.batch import Batch
from vaezoo.errors import UsageError
from vaezoo.estimators import covariance, gathered
from vaezoo.registry import register
from vaezoo.terms import Terms
from vaezoo.variational import Variational


@register(
    paper="Kumar et al., ICLR 2018, eqs. 6 and 7",
    url="https://arxiv.org/abs/1711.00848",
    family="disentangled",
    limits={"vae": {"lambda_od": 0.0, "lambda_d": 0.0}},
    latent=10,
    requires=("factorised",),
    identities=(
        "test_limit_agrees",
        "test_dip_penalties_vanish_for_whitened_means",
        "test_dip_kinds_agree_for_deterministic_codes",
    ),
)
class DIPVAE(Variational):
    r"""Pulls the covariance of q(z), the posterior averaged over the data, towards the identity of the prior.

    .. math:: \mathcal L = -\mathrm{ELBO} + \lambda_{od} \sum_{i \ne j} C_{ij}^2 + \lambda_d \sum_i (C_{ii} - 1)^2

    Kind ``i``: :math:`C = \mathrm{Cov}_x[\mu(x)]`. Kind ``ii``: :math:`C = \mathrm{Cov}_x[\mu(x)] +
    E_x[\mathrm{diag}\,\sigma^2(x)]`, the whole covariance of q(z). C is taken over the batch of all processes, with
    1/B. It matches second moments where beta-TCVAE and FactorVAE penalise all dependence.

    Args:
        kind: ``i`` or ``ii``.
        lambda_od: weight of the squared entries off the diagonal, >= 0.
        lambda_d: weight of the squared deviations on the diagonal, >= 0; None: 10 lambda_od for kind i, lambda_od for
            kind ii, as in disentanglement_lib.
        parts: the parts of :class:`~vaezoo.variational.Variational`.

    Raises:
        UsageError: the kind is unknown or a weight is negative.

    Source: Kumar, Sattigeri and Balakrishnan, ICLR 2018 (arXiv 1711.00848), eqs. 6 and 7.
    """

    def __init__(
        self, kind: Literal["i", "ii"] = "i", lambda_od: float = 10.0, lambda_d: float | None = None, **parts: Any
    ) -> None:
        super().__init__(**parts)
        self.kind, self.lambda_od = kind, lambda_od
        self.lambda_d = lambda_od * (10 if kind == "i" else 1) if lambda_d is None else lambda_d
        if kind not in ("i", "ii"):
            raise UsageError(f"variant.kind={kind} must be i or ii")
        if min(self.lambda_od, self.lambda_d) < 0:
            raise UsageError(f"variant.lambda_od={lambda_od} and variant.lambda_d={lambda_d} must be >= 0")

    def terms(self, batch: Batch) -> Terms:
        c = self.condition(batch)
        (latent,) = levels = self.latents(batch.x, c)
        mean, variance = gathered(torch.stack([latent.q.mean, latent.q.variance], 1)).flatten(2).unbind(1)  # [B, d]
        of_codes = covariance(mean)
        if self.kind == "ii":
            of_codes = of_codes + variance.mean(0).diag()
        diagonal = of_codes.diagonal()
        penalties = {
            "off_diagonal": (of_codes - diagonal.diag()).square().sum(),
            "diagonal": (diagonal - 1).square().sum(),
        }
        terms = Terms(**self.elbo(batch.x, c, levels=levels), **penalties)
        return terms.weighted(off_diagonal=self.lambda_od, diagonal=self.lambda_d)
