"""The contractive autoencoder."""

from typing import Any

import torch
from torch.func import vjp, vmap

from vaezoo.autoencoder import Autoencoder
from vaezoo.batch import Batch
from vaezoo.distributions import noise
from vaezoo.errors import UsageError
from vaezoo.registry import register
from vaezoo.schedules import Schedule
from vaezoo.terms import Terms


@register(
    paper="Rifai et al., ICML 2011, section 3",
    url="https://icml.cc/Conferences/2011/papers/455_icmlpaper.pdf",
    family="deterministic",
    limits={"autoencoder": {"weight": 0.0}},
    defaults={"likelihood": "gaussian"},
    identities=(
        "test_contraction_of_a_sigmoid_layer_has_its_closed_form",
        "test_contraction_of_a_linear_encoder_is_the_norm_of_its_matrix",
    ),
)
class ContractiveAutoencoder(Autoencoder):
    r"""Penalises how much the code moves with x, in every direction.

    .. math:: \mathcal L = -\log p(x|g(f(x))) + \lambda \left\| \frac{\partial f(x)}{\partial x} \right\|_F^2

    It does in closed form for the code what denoising does by sampling for the reconstruction. The norm is exact for
    any encoder, at the cost of one backward pass per unit of the code, or estimated from random projections,
    :math:`\|J\|_F^2 = E_{v \sim N(0, I)} \|J^T v\|^2`. The paper's tied weights keep the decoder from undoing a small
    code by large weights; untied ones need weight decay.

    Args:
        weight: lambda, >= 0, a number or a schedule.
        projections: random projections per example in place of the exact norm; 0 is exact.
        parts: the parts of :class:`~vaezoo.autoencoder.Autoencoder`.

    Raises:
        UsageError: weight or projections is negative.

    Source: Rifai et al., ICML 2011, section 3.
    """

    def __init__(self, weight: float | Schedule = 0.1, projections: int = 0, **parts: Any) -> None:
        super().__init__(**parts)
        if projections < 0:
            raise UsageError(f"variant.projections={projections} must be at least 0")
        self.weight, self.projections = Schedule.of(weight, minimum=0.0), projections

    def terms(self, batch: Batch) -> Terms:
        c = self.condition(batch)
        z, pull = vjp(lambda x: self.encode(x, c).flatten(1), batch.x)  # type: ignore[misc]  # [B, d]
        if self.projections:
            v = noise.normal((self.projections, *z.shape), like=z, batch=1) / self.projections**0.5
        else:
            v = torch.eye(z.shape[1]).to(z).unsqueeze(1).expand(-1, *z.shape)  # [d, B, d]
        (rows,) = vmap(pull)(v)  # [d or projections, B, *event]
        contraction = rows.flatten(2).square().sum((0, 2))
        px = self.decode(z.unflatten(1, self.shapes.latent), c)
        return Terms(distortion=-px.log_prob(batch.x), contraction=contraction).weighted(contraction=self.weight())
