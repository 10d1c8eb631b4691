"""The importance-weighted autoencoder with doubly reparameterised gradients."""

import copy
from typing import Any, ClassVar

from torch import Tensor
from torch.distributions import Distribution

from vaezoo.batch import Batch
from vaezoo.errors import UsageError
from vaezoo.estimators import importance_terms
from vaezoo.registry import register
from vaezoo.terms import Terms
from vaezoo.variational import Variational


@register(
    paper="Tucker et al., ICLR 2019",
    url="https://arxiv.org/abs/1810.04152",
    family="importance",
    identities=(
        "test_dreg_gradient_is_that_of_the_bound_in_expectation",
        "test_dreg_with_one_sample_has_no_variance_at_the_exact_posterior",
        "test_dreg_moves_the_generative_model_as_iwae_does",
    ),
)
class DRegIWAE(Variational):
    r"""Maximises the bound of the IWAE along another unbiased, steadier estimate of the encoder's gradient.

    .. math:: \nabla_\phi \mathcal L_K = E \sum_{k=1}^K \tilde w_k^2\,
              \frac{\partial \log w_k}{\partial z_k} \frac{\partial z_k}{\partial \phi},\quad
              \tilde w_k = \frac{w_k}{\sum_j w_j}

    The value, and the gradient of the generative model, are those of the IWAE. In log w the parameters of q are
    constants; what flows back into z carries one weight from the bound and is given the other. The samples must be
    differentiable functions of phi, and q known at any z. K = 1 is "sticking the landing".

    Args:
        samples: K, >= 1.
        parts: the parts of :class:`~vaezoo.variational.Variational`.

    Raises:
        UsageError: samples is below 1.

    Source: Tucker et al., ICLR 2019 (arXiv 1810.04152).
    """

    supports: ClassVar[tuple[str, ...]] = ("real",)
    densities: ClassVar[tuple[str, ...]] = ("any",)

    def __init__(self, samples: int = 5, **parts: Any) -> None:
        super().__init__(**parts)
        if samples < 1:
            raise UsageError(f"variant.samples={samples} must be at least 1")
        self.samples = samples

    def terms(self, batch: Batch) -> Terms:
        c = self.condition(batch)
        ((q, p, z),) = self.latents(batch.x, c, self.samples)  # z [K, B, *latent]
        log_px, log_ratio = self.decode(z, c).log_prob(batch.x), p.log_prob(z) - constant(q).log_prob(z)
        weights = (log_px + log_ratio).detach().softmax(0).reshape(*log_px.shape, *[1] * (z.ndim - 2))  # [K, B, ...]
        if z.requires_grad:
            z.register_hook(lambda gradient: weights * gradient)
        return importance_terms(log_px, log_ratio)


def constant(value: Any) -> Any:
    """The same distribution, whose parameters let no gradient through."""
    if isinstance(value, Distribution):
        other = copy.copy(value)
        vars(other).update({name: constant(each) for name, each in vars(value).items()})
        return other
    return value.detach() if isinstance(value, Tensor) else value
