"""Latents from a second VAE that is trained on the codes."""

from functools import partial

import torch
from torch import Tensor

from vaezoo.batch import Batch
from vaezoo.likelihoods.gaussian import Gaussian
from vaezoo.networks import mlp
from vaezoo.samplers.codes import Codes, Sampler
from vaezoo.samplers.training import standardised, train
from vaezoo.shapes import Shapes
from vaezoo.variants.vae import VAE


def fit(codes: Codes, seed: int = 0, hidden: tuple[int, ...] = (256, 256), epochs: int = 20) -> Sampler:
    r""":math:`z \sim p(z|u),\ u \sim \mathcal N(0, I)`, both from a VAE of the codes whose u is as large as z.

    Args:
        codes: of the training examples; standardised for the second VAE.
        seed: unused, the noise is seeded already.
        hidden: widths of its encoder and decoder.
        epochs: passes over the codes.

    Raises:
        UsageError: the codes are not vectors of moderate size.

    Source: Dai and Wipf, ICLR 2019 (arXiv 1903.05789), section 4.
    """
    z, mean, std = standardised(codes.flat)
    size = z.shape[1:]
    second = VAE(
        shapes=Shapes(event=size, latent=size),
        encoder=partial(mlp.Encoder, hidden=hidden),
        decoder=partial(mlp.Decoder, hidden=hidden),
        likelihood=partial(Gaussian, bounded=False),
    )
    train(second, lambda batch: second.terms(Batch(batch, None, torch.arange(len(batch)))).loss, z, epochs)

    @torch.no_grad()
    def sampler(n: int) -> Tensor:
        return codes.shaped(second.decode(second.ancestral(n)).sample() * std + mean)

    return sampler
