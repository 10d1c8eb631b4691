"""Which variants cannot be trained as one of several, found before any training."""

from collections.abc import Sequence
from typing import NoReturn

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn

from vaezoo.batch import Batch
from vaezoo.distributions import noise
from vaezoo.ensemble.stacked import Ensemble
from vaezoo.errors import UsageError
from vaezoo.hardware import full_precision
from vaezoo.schedules import Schedule
from vaezoo.variant import TRAINING, Variant

HOOKS = (
    "training_step",
    "validation_step",
    "configure_optimizers",
    "optimizer_step",
    "optimizer_zero_grad",
    "backward",
)
ROWS = 32  # examples of each member that are tried


def check_variant(model: Variant, name: str) -> None:
    """Refuses what one look at a model tells.

    Raises:
        UsageError: it has several players or stages, a training step of its own, or state that no gradient moves.
    """
    if len(model.stages) > 1 or len(model.stages[0].updates) > 1:
        refuse(name, "it has several players or stages")
    own = [hook for hook in dir(LightningModule) if hook.startswith("on_") or hook in HOOKS]
    for hook in own:
        if getattr(type(model), hook) is not getattr(Variant, hook):
            refuse(name, f"it has a {hook} of its own")
    for module in model.modules():
        if hasattr(type(module), "move") or isinstance(module, nn.modules.batchnorm._BatchNorm):
            refuse(name, f"its {type(module).__name__} keeps state that no gradient moves")


@full_precision()
def check_together(ensemble: Ensemble, members: Sequence[Variant], batch: Batch, name: str) -> None:
    """Compares loss and gradient of each member in the ensemble with its own, on a few examples.

    Raises:
        UsageError: they differ, or cannot be computed for all members at once.
    """
    where, rows = 0 if ensemble.shared else 1, min(ROWS, batch.index.shape[-1])
    few = Batch(*(None if value is None else value.narrow(where, 0, rows) for value in batch))  # type: ignore[arg-type]
    for module in [*ensemble.modules(), *(module for member in members for module in member.modules())]:
        if isinstance(module, Schedule):
            module.set(0.5)
    ensemble.train()
    ensemble.noise.reseed(TRAINING, 0)
    try:
        losses, _ = ensemble.together(few)
        losses.sum().backward()
    except (RuntimeError, TypeError, ValueError) as error:
        line = str(error).strip().splitlines()[0]
        refuse(name, f"it cannot be computed for all members at once ({line})")
    together = _gradients(ensemble.model)
    for number, member in enumerate(members):
        member.train()
        noise.reseed(TRAINING, member.seed, 0)
        own = few if ensemble.shared else Batch(*(None if value is None else value[number] for value in few))  # type: ignore[arg-type]
        terms = member.stages[0].terms(member.stages[0].updates[0], own)
        assert terms is not None
        if not terms.loss.isfinite():
            continue  # that the training will report
        terms.loss.backward()
        mine = torch.cat([gradient[number].flatten() for gradient in together])
        alone = torch.cat([gradient.flatten() for gradient in _gradients(member)])
        if not _near(losses[number], terms.loss, 1e-4) or not _near(mine, alone, 1e-3):
            refuse(name, "its loss or gradient is not that of a run of its own")
    for model in (ensemble, *members):
        model.zero_grad(set_to_none=True)


def _near(a: Tensor, b: Tensor, relative: float) -> bool:
    return bool((a - b).norm() <= relative * b.norm() + 1e-6)


def _gradients(model: nn.Module) -> list[Tensor]:
    return [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]


def refuse(name: str, reason: str) -> NoReturn:
    """Says why a variant is refused."""
    raise UsageError(f"hardware.ensemble: variant={name} cannot be trained as one of several: {reason}")
