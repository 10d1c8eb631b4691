"""Models with discrete codes: first the autoencoder is trained, then the prior of its codes."""

from abc import ABC
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from vaezoo.autoencoder import Part
from vaezoo.batch import Batch
from vaezoo.errors import UsageError
from vaezoo.estimators import gathered
from vaezoo.evaluate.codes import CodesUsed, Perplexity, UniformRate, code_counts, codes_used, perplexity
from vaezoo.posteriors.vq import VQPosterior
from vaezoo.priors.pixelcnn import PixelCNNPrior
from vaezoo.programme import Stage, Update
from vaezoo.terms import Terms
from vaezoo.variational import Variational, rates


class Discrete(Variational, ABC):
    r"""Autoencoders whose posterior is a quantizer, a point mass on codes :math:`z(x)`.

    .. math:: \log p(x) \ge \log p(x|z(x)) + \log p(z(x)) = -(\mathrm{distortion} + \mathrm{rate})

    Stage ``codes`` trains everything but the prior, on the distortion and on what the quantizer adds to it; stage
    ``prior`` then fits the prior to the codes, on the rate alone. It is left out where the prior has nothing to learn.
    As q(z|x) is a point, one sample gives what any number of samples would.

    Args:
        prior_share: share of the epochs for the prior, relative to 1 for the codes, > 0.
        posterior: a quantizer.
        prior: a prior of codes.
        parts: the other parts of :class:`~vaezoo.variational.Variational`.

    Raises:
        UsageError: prior_share is not positive, or the variant weighs a term that the quantizer does not give.
    """

    supports: ClassVar[tuple[str, ...]] = ("codes",)
    weighs: ClassVar[tuple[str, ...]] = ()  # penalties of the quantizer for which the variant has a weight

    def __init__(
        self, prior_share: float = 0.5, posterior: Part = VQPosterior, prior: Part = PixelCNNPrior, **parts: Any
    ) -> None:
        super().__init__(posterior=posterior, prior=prior, **parts)
        if not prior_share > 0:
            raise UsageError(f"variant.prior_share={prior_share} must be positive")
        self.prior_share = prior_share
        self.quantizers: list[Any] = [self.posterior]  # one per level of latents
        self.priors: list[nn.Module] = [self.prior]
        if missing := set(self.weighs) - set(self.quantizers[0].gives):
            lacks = f"{type(self).__name__} weighs {' and '.join(sorted(missing))}"
            raise UsageError(f"{lacks}, which {type(self.posterior).__name__} does not give: use another variant")

    def programme(self) -> Sequence[Stage]:
        coder = [part for part in self.children() if not any(part is prior for prior in self.priors)]
        stages = [Stage("codes", [Update("codes", self.terms, coder)])]
        if any(True for prior in self.priors for _ in prior.parameters()):
            stages.append(Stage("prior", [Update("prior", self.coding, self.priors)], self.prior_share))
        return stages

    def start(self, x: Tensor) -> None:
        super().start(x)
        self.start_codes(self.encoder(x))

    def start_codes(self, h: Tensor) -> None:
        """Starts the quantizers from the encoder's features ``h [N, *features]``."""
        self.quantizers[0].fit(h)

    def terms(self, batch: Batch) -> Terms:
        """``distortion`` and the penalties of the quantizer at weight 1; the use of codes and rates at weight 0.

        Rates are left out in train mode, where they move nothing and a PixelCNN would take most of the time.
        """
        c = self.condition(batch)
        levels = self.latents(batch.x, c)
        distortion = -self.decode(self.joined(levels), c).log_prob(batch.x)
        reported = self._usage(levels) | ({} if self.training else rates(levels))
        terms = Terms(distortion=distortion, **_penalties(levels), **reported)
        return terms.weighted(**dict.fromkeys(reported, 0.0))

    def coding(self, batch: Batch) -> Terms:
        """The rate of each level under its prior, ``[B]`` nats; only the prior gets gradients."""
        with torch.no_grad():
            levels = self.latents(batch.x, self.condition(batch))
        return Terms(**rates(levels))

    def measures(self) -> dict[str, Metric]:
        """Perplexity and number of codes used over the split, and the rate that a uniform prior would have."""
        found: dict[str, Metric] = {"uniform_rate": UniformRate()}
        for level, (suffix, quantizer) in enumerate(self._named()):
            found[f"perplexity{suffix}"] = Perplexity(level, quantizer.books, quantizer.codes)
            found[f"codes_used{suffix}"] = CodesUsed(level, quantizer.books, quantizer.codes)
        return found

    @torch.no_grad()
    def _usage(self, levels: Sequence[Any]) -> dict[str, Tensor]:
        """Perplexity and number of codes used in the batches of all processes, ``[]`` each."""
        found: dict[str, Tensor] = {}
        for (suffix, quantizer), level in zip(self._named(), levels, strict=True):
            counts = gathered(code_counts(level.q.codes, quantizer.books, quantizer.codes)[None]).sum(0)
            numbers = {f"perplexity{suffix}": perplexity(counts), f"codes_used{suffix}": codes_used(counts)}
            dtype = torch.promote_types(level.q.embedding.dtype, counts.dtype)
            found |= {name: number.to(dtype) for name, number in numbers.items()}
        return found

    def _named(self) -> list[tuple[str, Any]]:
        """Each quantizer and what is added to the names of its numbers: nothing if there is one."""
        several = len(self.quantizers) > 1
        return [(f"_{i + 1}" if several else "", quantizer) for i, quantizer in enumerate(self.quantizers)]


def _penalties(levels: Sequence[Any]) -> dict[str, Tensor]:
    """Each penalty of the quantizers, summed over the levels."""
    total: dict[str, Tensor] = {}
    for name, value in (item for level in levels for item in level.q.penalties.items()):
        total[name] = total[name] + value if name in total else value
    return total
