"""The VAE whose rate is held at a capacity that grows."""

from math import prod
from typing import Any

import torch
from torch import Tensor

from vaezoo.batch import Batch
from vaezoo.errors import UsageError
from vaezoo.estimators import gathered
from vaezoo.linear import linear_model
from vaezoo.registry import register
from vaezoo.schedules import Schedule
from vaezoo.terms import Terms
from vaezoo.variational import Variational


@register(
    paper="Burgess et al., NIPS workshop 2017, eq. 8",
    url="https://arxiv.org/abs/1804.03599",
    family="disentangled",
    limits={"vae": {"gamma": 1.0, "capacity": 0.0}},
    identities=("test_limit_agrees", "test_annealed_penalty_vanishes_where_the_mean_rate_is_the_capacity"),
)
class AnnealedVAE(Variational):
    r"""Penalises the distance of the rate from a capacity that grows from 0, so that factors enter one by one.

    .. math:: \mathcal L = -E_{q(z|x)} \log p(x|z) +
              \gamma\,\left|\overline{KL}(q(z|x)\,\|\,p(z)) - C(t)\right|,\quad C(t) = C \min(1, t / t_C)

    It differs from a beta-VAE, whose rate is free to settle anywhere, by the target. The bar is the mean over the
    batch, on all processes, so this term couples the batch; ``rate`` is reported only.

    Args:
        gamma: weight of the distance, >= 0; the paper takes 1000. A weight far above the slope of the distortion over
            the rate drowns the distortion. With capacity=0 it is the beta of a beta-VAE.
        capacity: C, nats at the end, >= 0; the paper takes 25 to 50. None: half the rate of the best linear VAE of the
            data with as many latents, see :func:`~vaezoo.linear.linear_model`. Above the rate that the model has use
            for, the rest is noise.
        growth: share of training t_C over which the capacity grows from 0, in [0, 1]; 0 holds it at C.
        parts: the parts of :class:`~vaezoo.variational.Variational`.

    Raises:
        UsageError: gamma or capacity is negative, or growth not in [0, 1].

    Source: Burgess et al., NIPS workshop 2017 (arXiv 1804.03599), eq. 8.
    """

    linear_rate: Tensor

    def __init__(self, gamma: float = 3.0, capacity: float | None = None, growth: float = 0.5, **parts: Any) -> None:
        super().__init__(**parts)
        if gamma < 0 or (capacity or 0) < 0:
            raise UsageError(f"variant.gamma={gamma} and variant.capacity={capacity} must both be at least 0")
        self.gamma, self.capacity = gamma, capacity
        self.growth = Schedule.warmup(growth)
        self.register_buffer("linear_rate", torch.zeros(()))

    def start(self, x: Tensor) -> None:
        super().start(x)
        self.linear_rate.fill_(linear_model(x, prod(self.shapes.latent)).rate)

    def terms(self, batch: Batch) -> Terms:
        elbo = self.elbo(batch.x, self.condition(batch))
        if self.capacity == 0:  # the distance is the rate
            return Terms(**elbo).weighted(**dict.fromkeys(elbo.rates, self.gamma))
        rates = torch.stack([elbo[name] for name in elbo.rates]).sum(0)  # of all levels, [B]
        capacity = 0.5 * self.linear_rate if self.capacity is None else self.capacity
        distance = (gathered(rates).mean() - capacity * self.growth()).abs()
        return Terms(**elbo, distance=distance).weighted(**dict.fromkeys(elbo.rates, 0.0), distance=self.gamma)
