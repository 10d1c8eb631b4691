"""The VAE with finite scalar quantisation."""

from vaezoo.discrete import Discrete
from vaezoo.registry import register


@register(
    paper="Mentzer et al., ICLR 2024, section 3.1",
    url="https://arxiv.org/abs/2309.15505",
    family="discrete",
    defaults={"encoder": "conv", "decoder": "conv", "posterior": "fsq", "prior": "pixelcnn"},
    identities=("test_fsq_codes_and_lattice_are_in_bijection", "test_fsq_reaches_every_level"),
)
class FSQVAE(Discrete):
    r"""Rounds a few bounded dimensions instead of searching a codebook, so that there is nothing to add to the bound.

    .. math:: \mathcal L = -\log p(x|e),\quad e = \mathrm{round}(f(v)) / \lfloor L/2 \rfloor

    It differs from a VQ-VAE in the posterior: no codebook can collapse, and no term needs a weight. The gradient passes
    the rounding as if it was not there.

    Args:
        prior_share: share of the epochs for the prior, relative to 1 for all else, > 0.
        parts: the parts of :class:`~vaezoo.discrete.Discrete`.

    Raises:
        UsageError: prior_share is not positive.

    Source: Mentzer et al., ICLR 2024 (arXiv 2309.15505), section 3.1.
    """
