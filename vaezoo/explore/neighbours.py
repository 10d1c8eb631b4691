"""The training examples nearest to a picture, and how near test examples come: has the model learned by heart?"""

from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vaezoo.batch import Batch
from vaezoo.data.raw import Part
from vaezoo.data.split import Split
from vaezoo.evaluate.mode import on_device

K = 3  # neighbours
AT_ONCE = 1000  # training examples compared at once
REFERENCE = 300  # test examples
SPACES = ("pixels", "features")


class Found(NamedTuple):
    """The K nearest training examples of each of n pictures: Euclidean distances and positions, ``[n, K]``."""

    distance: Tensor
    position: Tensor


class Neighbours:
    """Distances to all training examples, as they are stored, grey values rather than draws of them.

    Features are what the encoder hands to the posterior; maps of them are averaged over positions, so that a copy
    that is shifted a little is still near. A model without an encoder is looked at through its code.

    Args:
        model: any variant with a decoder, in eval mode.
        train: what it was trained on.
        test: what it has not seen.
    """

    def __init__(self, model: Any, train: Split, test: Split) -> None:
        self.model = model
        self.train, self.test = (Split(split.name, Part(split.x, split.y)) for split in (train, test))

    def find(self, x: Tensor, c: Tensor | None) -> dict[str, Found]:
        """The nearest training examples of pictures ``x [n, *event]`` with conditions c, in each space."""
        wanted = {"pixels": x.flatten(1), "features": self._features(x, c)}
        best = {space: _nothing(len(x), x) for space in SPACES}
        for start, seen in enumerate(self._train_features):
            pixels = self._examples(self.train, start).x.flatten(1)
            for space, rows in zip(SPACES, (pixels, seen), strict=True):
                best[space] = _nearer(best[space], wanted[space], rows, start * AT_ONCE)
        return best

    @cached_property
    def reference(self) -> dict[str, dict[str, Tensor]]:
        """For each space the sorted distances of test examples, and of their reconstructions, to the nearest one."""
        batch = on_device(self.test[:REFERENCE], self.model)
        c = self._condition(batch)
        given = {"test": batch.x, "reconstructions": self.model.reconstruct(batch.x, c)}
        found = {name: self.find(one, c) for name, one in given.items()}
        return {space: {name: found[name][space].distance[:, 0].sort().values for name in given} for space in SPACES}

    @property
    def size(self) -> int:
        """How many test examples there are in `reference`."""
        return min(REFERENCE, len(self.test))

    def percentiles(self, space: str, distance: float) -> dict[str, float]:
        """The share of test examples, and of their reconstructions, that are nearer than this, in percent."""
        reference = self.reference[space]
        return {name: 100 * (values < distance).float().mean().item() for name, values in reference.items()}

    @cached_property
    def _train_features(self) -> list[Tensor]:
        """Features of the training examples in pieces of AT_ONCE."""
        pieces = range(-(-len(self.train) // AT_ONCE))
        batches = (self._examples(self.train, piece) for piece in pieces)
        return [self._features(batch.x, self._condition(batch)) for batch in batches]

    def _examples(self, split: Split, piece: int) -> Batch:
        return on_device(split[piece * AT_ONCE : (piece + 1) * AT_ONCE], self.model)

    def _condition(self, batch: Batch) -> Tensor | None:
        return self.model.condition(batch) if hasattr(self.model, "condition") else None

    def _features(self, x: Tensor, c: Tensor | None) -> Tensor:
        """``[n, F]``."""
        if not hasattr(self.model, "encoder"):
            return self.model.encode(x, c).flatten(1)
        h = self.model.encoder(x, c)
        return h.flatten(2).mean(2) if h.ndim > 2 else h


def _nothing(n: int, like: Tensor) -> Found:
    return Found(like.new_full((n, K), torch.inf), torch.full((n, K), -1, device=like.device))


def _nearer(best: Found, wanted: Tensor, rows: Tensor, start: int) -> Found:
    """The nearest of what was found before and of some more rows.

    Candidates come from a product of matrices; their distances are then taken exactly, or copies would not be at 0.
    """
    k = min(K, len(rows))
    index = torch.cdist(wanted, rows).topk(k, largest=False).indices  # [n, k]
    distance = (rows[index] - wanted[:, None]).norm(dim=-1)
    both = Found(torch.cat([best.distance, distance], 1), torch.cat([best.position, index + start], 1))
    kept = both.distance.topk(K, largest=False).indices  # sorted
    return Found(both.distance.gather(1, kept), both.position.gather(1, kept))
