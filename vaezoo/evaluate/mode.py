"""A model as it stands in evaluation."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from vaezoo.batch import Batch
from vaezoo.distributions import noise
from vaezoo.schedules import Schedule
from vaezoo.variant import Variant


@contextmanager
def evaluating(model: Variant, device: torch.device | str | None = None) -> Iterator[None]:
    """Inside, no gradients, eval mode, schedules at their end, every process draws for itself; afterwards as before.

    Args:
        model: any variant.
        device: where it is inside; by default where it was trained, or is.
    """
    modes = {module: module.training for module in model.modules()}
    home, trainer = model.device, model._trainer
    away = device or (trainer.strategy.root_device if trainer is not None else home)
    for module in model.modules():
        if isinstance(module, Schedule):
            module.set(1.0)
    model.to(away).eval()
    try:
        with torch.no_grad(), noise.ranks(0, 1):
            yield
    finally:
        model.to(home)
        for module, mode in modes.items():
            module.training = mode


def on_device(batch: Batch, model: Variant) -> Batch:
    """The batch where the model is, with x in the precision of its weights."""
    x = batch.x.to(model.device, next(model.parameters()).dtype)
    return Batch(x, None if batch.y is None else batch.y.to(model.device), batch.index.to(model.device))
