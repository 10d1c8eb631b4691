"""The VAE that encodes a corrupted x."""

from typing import Any, Literal

from vaezoo.batch import Batch
from vaezoo.networks.corruption import check, corrupt
from vaezoo.registry import register
from vaezoo.terms import Terms
from vaezoo.variational import Variational


@register(
    paper="Im et al., AAAI 2017",
    url="https://arxiv.org/abs/1511.06406",
    family="gaussian",
    limits={"vae": {"amount": 0.0}},
    identities=("test_limit_agrees", "test_denoising_vae_reconstructs_the_clean_x_from_the_corrupted_one"),
)
class DenoisingVAE(Variational):
    r"""Encodes a corrupted x and reconstructs the clean one.

    .. math:: \mathcal L = E_{p(\tilde x|x)}\left[-E_{q(z|\tilde x)} \log p(x|z) + KL(q(z|\tilde x)\,\|\,p(z))\right]

    The posterior that is trained is :math:`\int q(z|\tilde x)\,p(\tilde x|x)\,d\tilde x`, a richer family than q. It
    differs from a denoising autoencoder in that the code is noisy too; -L is still a lower bound on log p(x).
    Validation corrupts as training does; evaluation encodes the clean x.

    Args:
        corruption: ``gaussian`` adds noise to x, ``masking`` sets values of x to 0.
        amount: standard deviation of the noise in the unit of x, >= 0, or share of the values that are masked, [0, 1].
        parts: the parts of :class:`~vaezoo.variational.Variational`.

    Raises:
        UsageError: amount is out of its range.

    Source: Im et al., AAAI 2017 (arXiv 1511.06406).
    """

    def __init__(
        self, corruption: Literal["gaussian", "masking"] = "masking", amount: float = 0.1, **parts: Any
    ) -> None:
        super().__init__(**parts)
        check(corruption, amount)
        self.corruption, self.amount = corruption, amount

    def terms(self, batch: Batch) -> Terms:
        c = self.condition(batch)
        corrupted = corrupt(batch.x, self.corruption, self.amount)
        return self.elbo(batch.x, c, q=self.q(corrupted, c))
