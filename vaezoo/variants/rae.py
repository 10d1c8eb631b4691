"""The regularised autoencoder."""

from typing import Any, Literal, get_args

from vaezoo.autoencoder import Autoencoder
from vaezoo.batch import Batch
from vaezoo.errors import UsageError, near
from vaezoo.networks.smoothness import normalise_layers, squared_jacobian, squared_weights
from vaezoo.registry import register
from vaezoo.schedules import Schedule
from vaezoo.terms import Terms

Regulariser = Literal["l2", "gradient", "spectral"]


@register(
    paper="Ghosh et al., ICLR 2020, section 3",
    url="https://openreview.net/forum?id=S1g7tpEYDS",
    family="deterministic",
    limits={"autoencoder": {"beta": 0.0, "weight": 0.0}},
    defaults={"likelihood": "gaussian"},
    latent=16,
    identities=(
        "test_gradient_regulariser_of_a_linear_decoder_is_the_norm_of_its_matrix",
        "test_spectral_regulariser_bounds_every_layer",
    ),
)
class RAE(Autoencoder):
    r"""Keeps the codes small and the decoder smooth, which is what a VAE's noise does, without noise.

    .. math:: \mathcal L = -\log p(x|D(z)) + \beta\,\tfrac12\|z\|^2 + \lambda R,\quad z = f(x)

    R is ``l2``: the squared norm of the decoder's weights; ``gradient``: :math:`\|\partial D(z)/\partial z\|_F^2` of
    the mean of p(x|z), exact, at the cost of one forward pass per dimension of z; ``spectral``: no term, but every
    layer of the decoder is divided by its largest singular value. To sample, fit a density to the codes afterwards
    (a sampler).

    Args:
        beta: weight of the squared norm of the code, >= 0, a number or a schedule.
        regulariser: ``l2``, ``gradient`` or ``spectral``.
        weight: lambda, >= 0, a number or a schedule; unused by ``spectral``.
        parts: the parts of :class:`~vaezoo.autoencoder.Autoencoder`; heads of the likelihood count as decoder.

    Raises:
        UsageError: the regulariser is unknown or a weight is negative.

    Source: Ghosh et al., ICLR 2020 (arXiv 1903.12436), section 3.
    """

    def __init__(
        self,
        beta: float | Schedule = 1e-3,
        regulariser: Regulariser = "l2",
        weight: float | Schedule = 1e-3,
        **parts: Any,
    ) -> None:
        super().__init__(**parts)
        if regulariser not in (known := get_args(Regulariser)):
            raise UsageError(
                f"variant.regulariser={regulariser} must be {' or '.join(known)}{near(regulariser, known)}"
            )
        self.regulariser, self.beta = regulariser, Schedule.of(beta, minimum=0.0)
        self.weight = Schedule.of(weight, minimum=0.0)
        if regulariser == "spectral":
            normalise_layers(self.decoder, self.likelihood)

    def terms(self, batch: Batch) -> Terms:
        z = self.encode(batch.x, c := self.condition(batch))
        terms = {"distortion": -self.decode(z, c).log_prob(batch.x), "norm": z.square().flatten(1).sum(1) / 2}
        if self.regulariser == "spectral":
            return Terms(**terms).weighted(norm=self.beta())
        if self.regulariser == "l2":
            regulariser = squared_weights(self.decoder, self.likelihood)
        else:
            regulariser = squared_jacobian(lambda z: self.decode(z, c).mean, z)
        return Terms(**terms, regulariser=regulariser).weighted(norm=self.beta(), regulariser=self.weight())
