"""Ends the hopeless runs of a sweep early."""

import math
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

from pytorch_lightning import Callback, Trainer
from pytorch_lightning.trainer.states import TrainerFn

from vaezoo import runs
from vaezoo.callbacks.hooks import quiet
from vaezoo.callbacks.wandb_run import WandbRun

METRIC = "val/elbo"  # nats at weight 1, whatever the variant optimises


@quiet
class Prune(Callback):
    """The median stopping rule: a run ends where its best ELBO is worse than the median of its siblings' at that epoch.

    Siblings are the other runs in the sweep's folder that have as many epochs, the same dataset and likelihood, and
    have come as far. The paper takes each sibling's running average; an ELBO rises from a low start, which would leave
    that median below almost every run, so this takes its running best, as the run's own.

    Source: Golovin et al., KDD 2017, section 3.2.2.

    Args:
        run_dir: the run's folder; the sweep is what lies beside it.
        max_epochs: of the run.
        after: share of the epochs before which no run ends.
        siblings: least number of siblings that the median is taken over.
    """

    def __init__(self, run_dir: Path, max_epochs: int, after: float = 0.25, siblings: int = 4) -> None:
        self.run_dir, self.max_epochs, self.after, self.siblings = run_dir, max_epochs, after, siblings
        self.best = -math.inf
        self.reason: str | None = None
        self._alike: dict[Path, bool] = {}

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """A run that had ended before a resume stays ended."""
        trainer.should_stop = trainer.should_stop or self.reason is not None

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Judges the run by the validation that is over."""
        elbo = float(trainer.callback_metrics.get(METRIC, math.nan))
        last_stage = pl_module.stage_index == len(pl_module.stages) - 1
        if trainer.state.fn != TrainerFn.FITTING or math.isnan(elbo) or not last_stage:
            return
        self.best = max(self.best, elbo)
        epochs = trainer.current_epoch + 1
        if self.after * self.max_epochs <= epochs < self.max_epochs:
            self.reason = trainer.strategy.broadcast(self._verdict(trainer.current_epoch))
        if self.reason:
            trainer.should_stop = True
            for logger in trainer.loggers:
                if isinstance(logger, WandbRun) and trainer.is_global_zero:
                    logger.experiment.tags += ("pruned",)

    def _verdict(self, epoch: int) -> str | None:
        """Why the run should end; None if it should not."""
        others = [path for path in runs.find(self.run_dir.parent) if path != self.run_dir and self._is_alike(path)]
        known = [best for path in others if (best := best_until(path, epoch)) is not None]
        if len(known) < self.siblings or self.best >= (middle := median(known)):
            return None
        return f"best {METRIC} {self.best:.2f} after {epoch + 1} epochs, median of {len(known)} siblings {middle:.2f}"

    @cached_property
    def _own(self) -> runs.RunRecord:
        return runs.read(self.run_dir)

    def _is_alike(self, path: Path) -> bool:
        """Whether the ELBO of another run is comparable with this one's."""
        if path not in self._alike:
            own, other = self._own, runs.read(path)
            if not other.config:
                return False  # it has not started
            same = own.dataset == other.dataset and own.likelihood == other.likelihood
            self._alike[path] = same and other.config["trainer"]["max_epochs"] == self.max_epochs
        return self._alike[path]

    def state_dict(self) -> dict[str, Any]:
        """The best ELBO so far, and why the run ended."""
        return {"best": self.best, "reason": self.reason}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.best, self.reason = state_dict["best"], state_dict.get("reason")


def best_until(path: Path, epoch: int) -> float | None:
    """The largest validation ELBO of a run up to an epoch; None if it has not come as far."""
    columns = runs.columns(path)
    steps, epochs, elbos = (columns.get(name, []) for name in ("step", "epoch", METRIC))
    epoch_of = {step: at for step, at in zip(steps, epochs, strict=False) if at is not None}  # a step may have two rows
    points = [
        (epoch_of[step], elbo)
        for step, elbo in zip(steps, elbos, strict=False)
        if step in epoch_of and elbo is not None and not math.isnan(elbo)
    ]
    if not points or max(at for at, _ in points) < epoch:
        return None
    return max(elbo for at, elbo in points if at <= epoch)
