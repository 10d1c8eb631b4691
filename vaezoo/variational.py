"""Models with a posterior and a prior: the evidence lower bound and what follows from it."""

from abc import ABC
from collections.abc import Mapping, Sequence
from math import ceil, log
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaezoo.autoencoder import Autoencoder, Part, _built
from vaezoo.batch import Batch
from vaezoo.distributions import noise
from vaezoo.estimators import rate
from vaezoo.posteriors.diagonal import DiagonalPosterior
from vaezoo.priors.standard import StandardPrior
from vaezoo.shapes import Shapes
from vaezoo.terms import Terms

ROWS = 1000  # decoded samples in memory at once while a likelihood is estimated


class Latent(NamedTuple):
    """One level of latents: its posterior, its prior and a sample of the posterior."""

    q: Distribution
    p: Distribution
    z: Tensor


class Variational(Autoencoder, ABC):
    r"""Autoencoders with :math:`q(z|x)` and :math:`p(z)`.

    .. math:: \log p(x) \ge \mathrm{ELBO}(x) = -(\mathrm{distortion} + \mathrm{rate}),\quad
              \mathrm{distortion} = -E_q \log p(x|z),\quad \mathrm{rate} = KL(q(z|x)\,\|\,p(z))

    Args:
        posterior: encoder features to q(z|x).
        prior: a function of q; ``Prior.forward(q_of, c)``.
        parts: the other parts of :class:`~vaezoo.autoencoder.Autoencoder`.

    Source: Kingma and Welling, ICLR 2014 (arXiv 1312.6114), eq. 3.
    """

    uses: ClassVar[tuple[str, ...]] = ("encoder", "decoder", "posterior", "prior", "likelihood")
    supports: ClassVar[tuple[str, ...]] = ("real", "sphere", "ball", "one-hot")  # where z may live
    densities: ClassVar[tuple[str, ...]] = ("any", "own")  # what must be known of q(z|x): at any z, at its own samples

    def __init__(
        self, shapes: Shapes, posterior: Part = DiagonalPosterior, prior: Part = StandardPrior, **parts: Any
    ) -> None:
        super().__init__(shapes, posterior=posterior, **parts)
        event = getattr(self.posterior, "event", shapes.latent)
        codes, curvature = getattr(self.posterior, "codes", 0), getattr(self.posterior, "curvature", 0.0)
        self.prior = _built(prior, shapes.replace(latent=event, codes=codes, curvature=curvature))

    def terms(self, batch: Batch) -> Terms:
        """``distortion`` and ``rate``, ``[B]`` nats each, at weight 1: minus the ELBO."""
        return self.elbo(batch.x, self.condition(batch))

    def p(self, c: Tensor | None = None) -> Distribution:
        """p(z), without a batch shape, or p(z|c) with batch shape ``[B]``."""
        return self.prior(self.q, c)

    def latents(
        self, x: Tensor, c: Tensor | None = None, k: int | None = None, given: Mapping[str, Distribution] | None = None
    ) -> tuple[Latent, ...]:
        """Posterior, prior and sample of each level; here one level. In eval mode samples carry no gradient.

        Args:
            x: data, ``[B, *event]``.
            c: condition, ``[B, *condition]``.
            k: number of samples; None draws one, without a sample dimension.
            given: ``q`` and ``p`` that are known already.
        """
        given = given or {}
        q = given["q"] if "q" in given else self.q(x, c)
        p = given["p"] if "p" in given else self.p(c)
        draw = q.rsample if self.training else q.sample
        return (Latent(q, p, draw() if k is None else draw((k,))),)

    def joined(self, levels: Sequence[Latent]) -> Tensor:
        """What is decoded, of what :meth:`latents` gave: by default the sample of the last level."""
        return levels[-1].z

    def elbo(
        self,
        x: Tensor,
        c: Tensor | None = None,
        q: Distribution | None = None,
        levels: Sequence[Latent] | None = None,
    ) -> Terms:
        """``distortion`` and the rate of each level, from one sample of the posterior.

        Args:
            x: what is to be reconstructed, ``[B, *event]``.
            c: condition, ``[B, *condition]``.
            q: posterior to use in place of q(z|x), e.g. that of a corrupted x.
            levels: what :meth:`latents` gave, where it is at hand.
        """
        if levels is None:
            levels = self.latents(x, c, given={"q": q} if q is not None else None)
        return Terms(distortion=-self.decode(self.joined(levels), c).log_prob(x), **rates(levels))

    def weigh(
        self, x: Tensor, k: int, c: Tensor | None = None, given: Mapping[str, Distribution] | None = None
    ) -> tuple[Tensor, Tensor]:
        """log p(x|z), and log p(z) - log q(z|x) summed over the levels, for k samples of q, ``[k, B]`` nats each."""
        levels = self.latents(x, c, k, given)
        log_ratio = sum(p.log_prob(z) - q.log_prob(z) for q, p, z in levels)
        return self.decode(self.joined(levels), c).log_prob(x), torch.as_tensor(log_ratio)

    def log_weights(
        self, x: Tensor, k: int, c: Tensor | None = None, given: Mapping[str, Distribution] | None = None
    ) -> Tensor:
        """log p(x, z) - log q(z|x) for k samples of q, ``[k, B]`` nats."""
        log_px, log_ratio = self.weigh(x, k, c, given)
        return log_px + log_ratio

    @torch.no_grad()
    def log_likelihood(self, x: Tensor, k: int = 500, c: Tensor | None = None) -> Tensor:
        r"""Importance-weighted bound :math:`\log \frac1k\sum_i p(x, z_i)/q(z_i|x)` with exactly k samples.

        Computed in pieces of about :data:`ROWS` decoded samples; the encoder and the prior run once.

        Args:
            x: data, ``[B, *event]``.
            k: number of samples, at least 1.
            c: condition, ``[B, *condition]``; the result is then log p(x|c).

        Returns:
            ``[B]`` nats. Source: Burda et al., ICLR 2016 (arXiv 1509.00519), eq. 8.
        """
        given = {"q": self.q(x, c), "p": self.p(c)}
        k = 1 if getattr(self.posterior, "deterministic", False) else k  # all samples of a point mass weigh the same
        at_once = max(1, min(k, ROWS // len(x)))
        total = x.new_full((len(x),), -torch.inf)
        for piece in range(ceil(k / at_once)):
            size = min(at_once, k - piece * at_once)
            total = torch.logaddexp(total, self.log_weights(x, size, c, given).logsumexp(0))
        return total - log(k)

    def ancestral(self, n: int, c: Tensor | None = None) -> Tensor:
        """n draws from the prior, ``[n, *latent]``."""
        p = self.p(c)
        with noise.batch_first():
            return p.sample() if p.batch_shape else p.sample((n,))


def rates(levels: Sequence[Latent]) -> dict[str, Tensor]:
    """``rate``, or ``rate_1``, ``rate_2``, ... where there are several levels, ``[B]`` nats each."""
    names = ["rate"] if len(levels) == 1 else [f"rate_{i + 1}" for i in range(len(levels))]
    return {name: rate(*level) for name, level in zip(names, levels, strict=True)}
