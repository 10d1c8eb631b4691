"""The VAE that is trained on structural similarity."""

from typing import Any

from vaezoo.batch import Batch
from vaezoo.errors import UsageError
from vaezoo.estimators import rate
from vaezoo.registry import register
from vaezoo.similarity import ms_ssim
from vaezoo.terms import Terms
from vaezoo.variational import Variational


@register(
    paper="Snell et al., ICIP 2017",
    url="https://arxiv.org/abs/1511.06409",
    family="perceptual",
    identities=(
        "test_ms_ssim_of_identical_pictures_is_one",
        "test_ms_ssim_equals_torchmetrics",
        "test_ms_ssim_vae_optimises_the_dissimilarity_and_the_rate",
    ),
)
class MSSSIMVAE(Variational):
    r"""Replaces the distortion by the multi-scale structural dissimilarity of x and its reconstruction.

    .. math:: \mathcal L = C\, E_{q(z|x)}\left[1 - \mathrm{MS\text{-}SSIM}(x, \hat x(z))\right]
              + KL(q(z|x)\,\|\,p(z))

    :math:`\hat x(z)` is the mean of p(x|z). The distortion of the likelihood is reported, not optimised, and a scale of
    the likelihood is not trained: take one without, or a fixed one. Small pictures have fewer scales and windows.

    Args:
        scale: C, nats for a picture that has nothing in common with x, > 0.
        window: largest side of the Gaussian window, odd, >= 3.
        parts: the parts of :class:`~vaezoo.variational.Variational`.

    Raises:
        UsageError: scale or window is out of range, or x is no picture.

    Source: Snell et al., ICIP 2017 (arXiv 1511.06409); MS-SSIM by Wang et al., Asilomar 2003, eq. 7.
    """

    def __init__(self, scale: float = 200.0, window: int = 11, **parts: Any) -> None:
        super().__init__(**parts)
        if scale <= 0:
            raise UsageError(f"variant.scale={scale} must be positive")
        if window < 3 or window % 2 == 0:
            raise UsageError(f"variant.window={window} must be odd and at least 3")
        if len(self.shapes.event) != 3 or min(self.shapes.event[1:]) < 4:
            raise UsageError(f"ms_ssim_vae needs pictures of at least 4 x 4; x has shape {self.shapes.event}")
        self.scale, self.window = scale, window

    def terms(self, batch: Batch) -> Terms:
        c = self.condition(batch)
        (latent,) = self.latents(batch.x, c)
        px = self.decode(latent.z, c)
        low, high = self.shapes.range
        dissimilarity = 1 - ms_ssim(batch.x, px.mean, high - low, self.window)
        terms = Terms(distortion=-px.log_prob(batch.x), rate=rate(*latent), dissimilarity=dissimilarity)
        return terms.weighted(distortion=0.0, dissimilarity=self.scale)
