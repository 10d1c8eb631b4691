"""The order of training as a value: stages in time, each a list of updates."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from vaezoo.batch import Batch
from vaezoo.errors import UsageError
from vaezoo.terms import Terms


@dataclass(frozen=True)
class Update:
    """One player's step on one batch.

    Args:
        name: name of the player, used in logs.
        terms: computes the objective on a batch, or on what the stage's ``shared`` made of it; returning None skips the
            update.
        modules: modules (or bare Parameters) that the step moves, and nothing else.
        repeats: steps per batch.
        optimizer: options that replace those of the ``optimizer`` config, e.g. ``{"betas": (0.5, 0.9)}``, where that
            optimizer takes them.
    """

    name: str
    terms: Callable[[Any], Terms | None]
    modules: Sequence[nn.Module | nn.Parameter]
    repeats: int = 1
    optimizer: Mapping[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The parameters that the step moves, each once."""
        found: dict[int, nn.Parameter] = {}
        for module in self.modules:
            for parameter in [module] if isinstance(module, nn.Parameter) else module.parameters():
                found[id(parameter)] = parameter
        return list(found.values())


@dataclass(frozen=True)
class Stage:
    """A span of epochs in which the same updates run on every batch.

    Args:
        name: name of the stage, used in logs.
        updates: the updates of one batch, in order.
        share: share of the epochs, relative to the other stages; every stage gets at least one epoch.
        shared: one pass over a batch for all updates, whose ``terms`` take what it returns. The gradients of all are
            then of the same weights, and all steps follow. Without it each update has its own pass and sees the steps
            of those before, as alternating games need.

    Raises:
        ValueError: an update that is to be repeated shares a pass.
    """

    name: str
    updates: Sequence[Update]
    share: float = 1.0
    shared: Callable[[Batch], Any] | None = None

    def __post_init__(self) -> None:
        repeated = [update.name for update in self.updates if update.repeats != 1]
        if self.shared is not None and repeated:
            raise ValueError(f"stage {self.name}: {', '.join(repeated)} cannot share a pass and be repeated")

    def terms(self, update: Update, batch: Batch) -> Terms | None:
        """The objective of one of the updates on a batch."""
        return update.terms(batch if self.shared is None else self.shared(batch))


def boundaries(stages: Sequence[Stage], epochs: int) -> list[int]:
    """First epoch of each stage and, last, the number of epochs.

    Raises:
        UsageError: there are fewer epochs than stages.
    """
    if epochs < len(stages):
        names = ", ".join(stage.name for stage in stages)
        raise UsageError(f"trainer.max_epochs={epochs} is too few: the {len(stages)} stages ({names}) need one each")
    total = sum(stage.share for stage in stages)
    starts, passed = [0], 0.0
    for k, stage in enumerate(stages[:-1]):
        passed += stage.share
        earliest, latest = starts[-1] + 1, epochs - (len(stages) - 1 - k)
        starts.append(min(max(round(epochs * passed / total), earliest), latest))
    return [*starts, epochs]
