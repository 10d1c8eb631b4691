"""Models with an encoder, a code and a decoder."""

from abc import ABC
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaezoo.batch import Batch
from vaezoo.errors import UsageError
from vaezoo.likelihoods.gaussian import Gaussian
from vaezoo.networks import mlp
from vaezoo.networks.adapt import adapt
from vaezoo.posteriors.point import PointPosterior
from vaezoo.shapes import Shapes
from vaezoo.terms import Terms
from vaezoo.variant import Variant

Part = nn.Module | Callable[[Shapes], nn.Module]  # a built module, or a factory that is given the shapes


class Autoencoder(Variant, ABC):
    r"""Encoder, code and decoder: ``h = encoder(x)``, ``q = posterior(h)``, ``p(x|z) = likelihood(decoder(z))``.

    A deterministic code is a posterior that is a point mass.

    Args:
        shapes: what the data and the latent size fix.
        encoder: ``[N, *event] -> [N, *features]``.
        decoder: ``[N, *latent] -> [N, *features]``.
        likelihood: decoder features to p(x|z), whose minus log is the distortion.
        posterior: encoder features to q(z|x).
        base: ``optimizer`` and ``seed`` of :class:`~vaezoo.variant.Variant`.

    Each part is a factory ``Callable[[Shapes], Module]`` or a module built by hand.
    """

    uses: ClassVar[tuple[str, ...]] = ("encoder", "decoder", "likelihood")

    def __init__(
        self,
        shapes: Shapes,
        encoder: Part = mlp.Encoder,
        decoder: Part = mlp.Decoder,
        likelihood: Part = Gaussian,
        posterior: Part = PointPosterior,
        **base: Any,
    ) -> None:
        super().__init__(shapes, **base)
        self.encoder = adapt(encoder, shapes, "encoder")
        self.posterior = _built(posterior, shapes.replace(features=self.encoder.features))
        self.embedded = getattr(self.posterior, "embedded", shapes.latent)  # shape of what the decoder reads
        self.decoder = adapt(decoder, shapes.replace(latent=self.embedded), "decoder")
        self.likelihood = _built(likelihood, shapes.replace(features=self.decoder.features))

    def terms(self, batch: Batch) -> Terms:
        """``distortion`` = -log p(x | code), ``[B]`` nats."""
        c = self.condition(batch)
        return Terms(distortion=-self.decode(self.q(batch.x, c).rsample(), c).log_prob(batch.x))

    def condition(self, batch: Batch) -> Tensor | None:
        """What p(x|z, c) is conditioned on, ``[B, *condition]``; by default nothing."""
        return None

    def q(self, x: Tensor, c: Tensor | None = None) -> Distribution:
        """q(z|x), batch shape ``[B]``."""
        return self.posterior(self.encoder(x, c))

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """The mean of q(z|x), ``[B, *latent]``."""
        return self.q(x, c).mean

    def decode(self, z: Tensor, c: Tensor | None = None) -> Distribution:
        """p(x|z) for z ``[*, B, *latent]`` and c ``[B, *condition]``; batch shape ``[*, B]``."""
        e = self.posterior.embed(z)  # type: ignore[operator]
        leading = e.shape[: e.ndim - len(self.embedded)]
        if len(leading) == 1:
            return self.likelihood(self.decoder(e, c))
        if c is not None:
            c = c.expand(*leading, *c.shape[1:]).flatten(0, len(leading) - 1)
        h = self.decoder(e.flatten(0, len(leading) - 1), c)
        return self.likelihood(h.unflatten(0, leading))

    @torch.no_grad()
    def sample(self, n: int, c: Tensor | None = None, sampler: Callable[[int], Tensor] | None = None) -> Tensor:
        """Means of p(x|z) for n latents, ``[n, *event]``.

        Args:
            n: how many.
            c: conditions, ``[n, *condition]``.
            sampler: draws the latents; None takes :meth:`ancestral`.
        """
        return self.decode(sampler(n) if sampler else self.ancestral(n, c), c).mean

    def ancestral(self, n: int, c: Tensor | None = None) -> Tensor:
        """n draws from the model's own prior, ``[n, *latent]``.

        Raises:
            UsageError: there is no prior; a sampler that is fitted to the codes takes its place.
        """
        raise UsageError(
            f"{type(self).__name__} has no prior to sample from: use a sampler that is fitted to its codes"
        )

    def reconstruct(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """The mean of p(x|z) at the encoded z, ``[B, *event]``."""
        return self.decode(self.encode(x, c), c).mean


def _built(part: Part, shapes: Shapes) -> nn.Module:
    return part if isinstance(part, nn.Module) else part(shapes)
