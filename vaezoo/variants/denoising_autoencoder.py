"""The denoising autoencoder."""

from typing import Any

from vaezoo.autoencoder import Autoencoder
from vaezoo.batch import Batch
from vaezoo.networks import corruption as corruptions
from vaezoo.registry import register
from vaezoo.terms import Terms


@register(
    paper="Vincent et al., JMLR 2010, eq. 9",
    url="https://jmlr.org/papers/v11/vincent10a.html",
    family="deterministic",
    limits={"autoencoder": {"amount": 0.0}},
    defaults={"likelihood": "gaussian"},
    identities=(
        "test_denoising_without_noise_is_the_autoencoder_bit_for_bit",
        "test_linear_denoising_loss_has_its_closed_form",
        "test_masking_loses_the_share_it_says",
    ),
)
class DenoisingAutoencoder(Autoencoder):
    r"""Reconstructs the clean x from the code of a corrupted one.

    .. math:: \mathcal L = -E_{\tilde x \sim C(\tilde x|x)} \log p(x\,|\,g(f(\tilde x)))

    With Gaussian corruption and a Gaussian likelihood, the best reconstruction minus its input estimates
    :math:`\sigma^2\,\nabla \log p_\sigma(\tilde x)`. ``distortion`` is that of the corrupted input in evaluation too;
    codes, reconstructions and the squared error are those of the clean one.

    Args:
        corruption: ``gaussian`` adds noise, ``masking`` sets values to 0 (and does not scale up the others).
        amount: standard deviation in units of x, >= 0, or the share of values that are lost, in [0, 1].
        parts: the parts of :class:`~vaezoo.autoencoder.Autoencoder`.

    Raises:
        UsageError: the corruption is unknown or the amount is out of range.

    Source: Vincent et al., JMLR 11 (2010), eq. 9 and section 3.3.
    """

    def __init__(self, corruption: corruptions.Kind = "masking", amount: float = 0.25, **parts: Any) -> None:
        super().__init__(**parts)
        corruptions.check(corruption, amount)
        self.corruption, self.amount = corruption, amount

    def terms(self, batch: Batch) -> Terms:
        c = self.condition(batch)
        z = self.encode(corruptions.corrupt(batch.x, self.corruption, self.amount), c)
        return Terms(distortion=-self.decode(z, c).log_prob(batch.x))
