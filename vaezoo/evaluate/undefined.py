"""Which metrics a model does not have, and why."""

from vaezoo.batch import Batch
from vaezoo.distributions import noise
from vaezoo.distributions.kl import closed_form
from vaezoo.estimators import is_exact
from vaezoo.shapes import Shapes
from vaezoo.variant import Variant
from vaezoo.variational import Latent, Variational

EVALUATION = 3  # first key of the noise, apart from those of training, validation and test
OF_A_DENSITY = ("elbo", "rate", "nll", "bits_per_dim", "mutual_information", "kl_per_dimension")
OF_A_PRIOR = (*OF_A_DENSITY, "active_units")
RELAXED = "not a likelihood: binary cross-entropy of grey values"


def undefined(model: Variant, probe: Batch, k: int) -> dict[str, str]:
    """Metric to reason.

    Args:
        model: any variant.
        probe: a small batch, from which the families of q and p are seen.
        k: importance samples of the likelihood, >= 0.
    """
    if not hasattr(model, "reconstruct"):
        return dict.fromkeys((*OF_A_PRIOR, "distortion", "squared_error"), "no decoder: nothing is reconstructed")
    if not isinstance(model, Variational):
        return dict.fromkeys(OF_A_PRIOR, "no prior: a deterministic autoencoder defines no p(x)")
    density = getattr(model.posterior, "density", "any")
    if density == "none":
        return dict.fromkeys(OF_A_DENSITY, "q(z|x) has no density, so there is no bound on p(x)")
    reasons: dict[str, str] = {}
    levels = _levels(model, probe)
    form = closed_form(levels[0].q, levels[0].p)
    if len(levels) > 1:
        several = f"defined for one level of latents; there are {len(levels)}"
        reasons.update(mutual_information=several, kl_per_dimension=several)
    elif form is None or not form.per_dim:
        reasons["kl_per_dimension"] = "the rate has no closed form that is a sum over dimensions"
    if density != "any" or getattr(model.posterior, "deterministic", False):
        reasons["mutual_information"] = "q(z|x) is not known at any z"
    if getattr(model.posterior, "support", "real") == "codes":
        reasons["active_units"] = "codes have no dimensions: see their perplexity"
    if k == 0:
        reasons["nll"] = "k=0 leaves the likelihood out"
    if reason := _no_bits(model, k):
        reasons["bits_per_dim"] = reason
    return reasons


def remarks(model: Variant) -> dict[str, str]:
    """What a reader must know about metrics that are there."""
    return dict.fromkeys(("elbo", "distortion", "nll"), RELAXED) if _is_relaxed(model) else {}


def rate_is(model: Variant, probe: Batch) -> str | None:
    """``exact`` if the rate of every level is a closed form, else ``sampled``; None where there is no rate."""
    if not isinstance(model, Variational) or getattr(model.posterior, "density", "any") == "none":
        return None
    return "exact" if all(is_exact(q, p) for q, p, _ in _levels(model, probe)) else "sampled"


def _levels(model: Variational, probe: Batch) -> tuple[Latent, ...]:
    with noise.seeded(EVALUATION):
        return model.latents(probe.x, model.condition(probe))


def _no_bits(model: Variational, k: int) -> str:
    shapes: Shapes = model.shapes
    if k == 0:
        return "k=0 leaves the likelihood out"
    if _is_relaxed(model):
        return RELAXED
    if model.likelihood.discrete or shapes.support == "unit":
        return ""
    if shapes.support == "real":
        return "a density of real data has no bits per dimension"
    return f"a density of {shapes.support} data that are not dequantised has no bits per dimension"


def _is_relaxed(model: Variant) -> bool:
    return getattr(getattr(model, "likelihood", None), "allow_relaxed", False) and model.shapes.support != "binary"
