"""The InfoVAE."""

from math import prod
from typing import Any, Literal

import torch
from torch import Tensor

from vaezoo.batch import Batch
from vaezoo.errors import UsageError
from vaezoo.estimators import gathered, kernel_for, mmd_u
from vaezoo.linear import linear_model
from vaezoo.registry import register
from vaezoo.terms import Terms
from vaezoo.variational import Variational

SHARE = 2.5  # of the linear VAE's rate, as the weight of MMD


@register(
    paper="Zhao et al., AAAI 2019, section 4",
    url="https://arxiv.org/abs/1706.02262",
    family="divergence",
    limits={"vae": {"alpha": 0.0, "weight": 1.0}},
    identities=("test_limit_agrees", "test_mmd_u_is_unbiased", "test_info_vae_keeps_the_rate_that_beta_vae_keeps"),
)
class InfoVAE(Variational):
    r"""Keeps information about x in z: less of the rate, and in its place a divergence of q(z) from p(z).

    .. math:: \mathcal L = -E \log p(x|z) + (1 - \alpha)\, KL(q(z|x)\|p(z)) + (\alpha + \lambda - 1)\, MMD^2(q(z), p(z))

    The rate contains the mutual information of x and z; MMD sees q(z) alone. alpha = 0, lambda = 1 is the VAE,
    alpha + lambda = 1 the beta-VAE with beta = 1 - alpha, alpha = 1 the MMD-VAE, a stochastic WAE. MMD is the unbiased
    estimate on the batch of all processes, which may be negative.

    Args:
        alpha: weight given to the mutual information, <= 1.
        weight: lambda, >= 1 - alpha. None: MMD weighs 2.5 times the rate of the best linear VAE of the data with as
            many latents, see :func:`~vaezoo.linear.linear_model`.
        kernel: ``imq`` or ``rbf``; see :func:`~vaezoo.estimators.kernel_for`.
        std: s of the kernel's width, C = 2 d s^2, > 0; the prior's standard deviation.
        parts: the parts of :class:`~vaezoo.variational.Variational`.

    Raises:
        UsageError: a weight of the loss would be negative, the kernel is unknown, or the prior has parameters and
            alpha = 1 leaves them without a gradient.

    Source: Zhao, Song and Ermon, AAAI 2019 (arXiv 1706.02262), section 4.
    """

    linear_rate: Tensor  # before training starts 0

    def __init__(
        self,
        alpha: float = 0.5,
        weight: float | None = None,
        kernel: Literal["imq", "rbf"] = "imq",
        std: float = 1.0,
        **parts: Any,
    ) -> None:
        super().__init__(**parts)
        if alpha > 1 or (weight is not None and alpha + weight < 1):
            raise UsageError(f"variant.alpha={alpha} must be <= 1 and variant.weight={weight} >= 1 - alpha")
        if alpha == 1 and any(True for _ in self.prior.parameters()):
            raise UsageError("variant.alpha=1.0 leaves the prior nothing to learn from: use alpha < 1, prior=standard")
        self.alpha, self.weight = alpha, weight
        self.register_buffer("linear_rate", torch.zeros(()))
        self.kernel = kernel_for(kernel, prod(getattr(self.posterior, "event", self.shapes.latent)), std)

    def start(self, x: Tensor) -> None:
        super().start(x)
        self.linear_rate.fill_(linear_model(x, prod(self.shapes.latent)).rate)

    def terms(self, batch: Batch) -> Terms:
        c = self.condition(batch)
        ((_, p, z),) = levels = self.latents(batch.x, c)
        codes = gathered(z)
        mmd = mmd_u(codes, p.sample((len(codes),)), self.kernel)
        weight = SHARE * self.linear_rate if self.weight is None else self.alpha + self.weight - 1
        return Terms(**self.elbo(batch.x, c, levels=levels), mmd=mmd).weighted(rate=1 - self.alpha, mmd=weight)
