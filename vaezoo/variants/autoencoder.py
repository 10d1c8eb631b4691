"""The undercomplete autoencoder."""

from vaezoo.autoencoder import Autoencoder as Deterministic
from vaezoo.registry import register


@register(
    paper="Hinton and Salakhutdinov, Science 2006",
    url="https://doi.org/10.1126/science.1127647",
    family="deterministic",
    defaults={"likelihood": "gaussian"},
    identities=("test_linear_autoencoder_is_pca",),
)
class Autoencoder(Deterministic):
    r"""Compresses x to a code smaller than x and reconstructs it.

    .. math:: \mathcal L = -\log p(x\,|\,g(f(x)))

    With a Gaussian likelihood of unit variance this is half the squared error plus a constant; linear networks then
    find the principal subspace. There is no prior, hence no rate, no likelihood of x and nothing to sample from.

    Args:
        parts: the parts of :class:`~vaezoo.autoencoder.Autoencoder`.

    Source: Hinton and Salakhutdinov, Science 313 (2006), p. 504.
    """
