"""The share of examples that a classifier gets wrong."""

from typing import Any

import torch

from vaezoo.batch import Batch
from vaezoo.evaluate.mean import Mean


class ClassificationError(Mean):
    r"""Share of the labelled examples whose likeliest class is not their label, in [0, 1]."""

    @torch.no_grad()
    def update(self, model: Any, batch: Batch) -> None:  # type: ignore[override]
        """Adds a batch; ``model.logits(x)`` gives ``[B, classes]``. Examples with label -1 do not count."""
        assert batch.y is not None
        wrong = model.logits(batch.x).argmax(1) != batch.y
        super().update(wrong[batch.y >= 0])
