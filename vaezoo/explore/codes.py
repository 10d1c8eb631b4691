"""The codes of discrete models as maps whose cells can be changed."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from threading import RLock
from typing import Any

import torch
from torch import Tensor

from vaezoo.batch import Batch
from vaezoo.data.split import Split
from vaezoo.distributions.codes import Codes
from vaezoo.errors import UsageError
from vaezoo.evaluate.codes import code_counts, perplexity
from vaezoo.evaluate.mode import on_device
from vaezoo.explore.paths import support_of

AT_ONCE = 500  # examples encoded at once
MOST = 2**16  # values of a code that are counted

Maps = list[list[int]]  # the codes of each level, in the order of its array


class CodeMaps:
    """Codes of one example at a time: read, replaced and drawn, at all levels.

    Codes are replaced by hooks on the quantizers, so that what is decoded is put together by the model itself, however
    many levels it has and whatever they tell each other.

    Args:
        model: any variant, in eval mode.
        example: a batch of one, where the model is; only its shape counts.

    Raises:
        UsageError: latents are no codes.
    """

    def __init__(self, model: Any, example: Batch) -> None:
        if support_of(model) != "codes":
            raise UsageError("There are no codes: this model's latents are not discrete codes of a quantizer.")
        self.model, self.example = model, example
        self.quantizers: list[Any] = list(getattr(model, "quantizers", [model.posterior]))
        self.lock = RLock()

    @property
    def levels(self) -> list[dict[str, int]]:
        """For each level the size of its maps, how many there are and how many values a code may take."""
        sizes = [tuple(quantizer.embedded[1:]) or (1, 1) for quantizer in self.quantizers]
        return [
            {"books": quantizer.books, "rows": rows, "columns": columns, "values": quantizer.codes}
            for quantizer, (rows, columns) in zip(self.quantizers, sizes, strict=True)
        ]

    def of(self, x: Tensor, c: Tensor | None) -> Maps:
        """The codes of one example ``x [1, *event]``."""
        with self.lock:
            return [level.q.codes[0].flatten().tolist() for level in self.model.latents(x, c)]

    def latent(self, codes: Sequence[Maps], c: Tensor | None = None) -> Tensor:
        """What is decoded of the codes of n examples, ``[n, *latent]``."""
        with self._replaced([self.checked(maps) for maps in codes]):
            return self.model.joined(self._latents(len(codes), c))

    def draw(self, c: Tensor | None = None) -> Maps:
        """One draw from the prior, level by level."""
        codes: list[Tensor] = []
        while len(codes) < len(self.quantizers):
            with self._replaced([codes]):
                p = self._latents(1, c)[len(codes)].p
            codes.append((p.sample() if p.batch_shape else p.sample((1,)))[0])
        return [level.flatten().tolist() for level in codes]

    def checked(self, maps: Maps) -> list[Tensor]:
        """The codes of one example as arrays ``[*event]``, one per level.

        Raises:
            UsageError: there are too few or too many, or one is out of range.
        """
        if not isinstance(maps, list) or len(maps) != len(self.quantizers):
            raise UsageError(f"codes must hold {len(self.quantizers)} lists, one per level")
        arrays = []
        for level, (codes, quantizer) in enumerate(zip(maps, self.quantizers, strict=True)):
            size = torch.Size(quantizer.event).numel()
            if not isinstance(codes, list) or len(codes) != size:
                raise UsageError(f"codes of level {level + 1} must be a list of {size} numbers")
            if not all(type(code) is int and 0 <= code < quantizer.codes for code in codes):
                raise UsageError(f"codes of level {level + 1} must be in [0, {quantizer.codes})")
            arrays.append(torch.tensor(codes, device=self.model.device).view(quantizer.event))
        return arrays

    def book(self, level: int, position: int) -> int:
        """The codebook of a cell."""
        quantizer = self.quantizers[level]
        return position * quantizer.books // torch.Size(quantizer.event).numel()

    def count(self, split: Split) -> list[dict[str, Any]]:
        """How often each code occurs over a split, for each codebook of each level, the most frequent first.

        Raises:
            UsageError: a code takes too many values.
        """
        for quantizer in self.quantizers:
            if quantizer.codes > MOST:
                raise UsageError(f"A code takes {quantizer.codes} values, too many to count; {MOST} are not.")
        totals = [torch.zeros(q.books, q.codes, dtype=torch.float64) for q in self.quantizers]
        for index in torch.arange(len(split)).split(AT_ONCE):
            batch = on_device(split[index], self.model)
            with self.lock:
                levels = self.model.latents(batch.x, self.model.condition(batch))
            for total, level, quantizer in zip(totals, levels, self.quantizers, strict=True):
                total += code_counts(level.q.codes.cpu(), quantizer.books, quantizer.codes)
        books = [[_frequencies(counts) for counts in total] for total in totals]
        return [
            {"examples": len(split), "values": q.codes, "books": b} for q, b in zip(self.quantizers, books, strict=True)
        ]

    def _latents(self, n: int, c: Tensor | None) -> Any:
        x = self.example.x.expand(n, *self.example.x.shape[1:])
        return self.model.latents(x, None if c is None else c.expand(n, *c.shape[1:]))

    @contextmanager
    def _replaced(self, codes: Sequence[Sequence[Tensor]]) -> Iterator[None]:
        """Inside, the first quantizers give these codes of n examples, one array per level, whatever they read."""
        with self.lock, ExitStack() as stack:
            for quantizer, chosen in zip(self.quantizers, zip(*codes, strict=True), strict=False):
                stack.enter_context(quantizer.register_forward_hook(_giving(torch.stack(chosen))))
            yield


def _giving(codes: Tensor) -> Any:
    def hook(quantizer: Any, _: Any, q: Codes) -> Codes:
        embedding = quantizer.embed(codes)
        return Codes(codes, embedding, q.vectors.expand_as(embedding), q.penalties)

    return hook


def _frequencies(counts: Tensor) -> dict[str, Any]:
    """Codes that occur and how often, as pairs, and the perplexity of ``counts [K]``."""
    order = counts.argsort(descending=True, stable=True)
    pairs = [[int(code), int(counts[code])] for code in order if counts[code] > 0]
    return {"counts": pairs, "perplexity": perplexity(counts[None]).item()}
