"""Examples of a split by their position, and the conditions that they give."""

from typing import Any

import torch
from torch import Tensor

from vaezoo.batch import Batch
from vaezoo.callbacks.pictures import Skipped, _check_pictures
from vaezoo.data.split import Split
from vaezoo.errors import UsageError
from vaezoo.evaluate.mode import on_device
from vaezoo.explore.picture import data_url


class Examples:
    """A model's view of a split.

    Args:
        model: any variant.
        split: the examples.
    """

    def __init__(self, model: Any, split: Split) -> None:
        self.model, self.split = model, split

    def __len__(self) -> int:
        return len(self.split)

    def first(self, n: int) -> Batch:
        """The first n, from the start again where there are fewer, where the model is."""
        return on_device(self.split[torch.arange(n) % len(self.split)], self.model)

    def one(self, index: int, label: int | None = None) -> tuple[Batch, Tensor | None]:
        """One example and its condition, with another label if one is given.

        Raises:
            UsageError: there is no such example or label, or examples are no pictures.
        """
        self.check_pictures()
        index = within("index", index, len(self))
        batch = on_device(self.split[index : index + 1], self.model)
        return batch, self.condition(batch, label)

    def condition(self, batch: Batch, label: int | None = None) -> Tensor | None:
        """What the decoder is told beside z, ``[B, *condition]``, with another label if one is given."""
        if label is not None and batch.y is not None:
            batch = batch._replace(y=torch.full_like(batch.y, within("label", label, self.model.shapes.classes)))
        return self.model.condition(batch) if hasattr(self.model, "condition") else None

    def switch(self) -> list[int]:
        """The labels of which a conditional model can be told.

        Raises:
            UsageError: the model is not conditional, or not on a class.
        """
        batch = self.first(1)
        if self.condition(batch) is None:
            raise UsageError("The model is not conditional, so there is no label to switch.")
        classes = list(range(self.model.shapes.classes)) if has_classes(batch) else []
        told = [self.condition(batch, label) for label in classes]
        if any(not torch.equal(told[0], c) for c in told):  # type: ignore[arg-type]
            return classes
        raise UsageError("The condition is no class but that of the chosen test example.")

    def picture(self, x: Tensor) -> str:
        """An example ``[*event]`` as the URL of a PNG."""
        return data_url(x, self.model.shapes.range)

    def check_pictures(self) -> None:
        """Raises UsageError if the model decodes nothing, or no pictures."""
        try:
            _check_pictures(self.model)
        except Skipped as reason:
            raise UsageError(str(reason)) from None


def has_classes(batch: Batch) -> bool:
    """Whether examples have a class each."""
    return batch.y is not None and batch.y.ndim == 1 and not batch.y.is_floating_point()


def labels(batch: Batch) -> list[int | None]:
    """The class of each example, None where there is none or it is hidden."""
    if not has_classes(batch):
        return [None] * len(batch.x)
    return [y if y >= 0 else None for y in batch.y.tolist()]  # type: ignore[union-attr]


def within(name: str, value: Any, end: int, start: int = 0) -> int:
    """The value, if it is a whole number in [start, end).

    Raises:
        UsageError: it is not.
    """
    if type(value) is not int or not start <= value < end:
        raise UsageError(f"{name}={value!r} must be a whole number from {start} to {end - 1}")
    return value
