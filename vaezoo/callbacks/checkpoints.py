"""The last and the best state of a run, and stopping without losing anything."""

import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer

from vaezoo.callbacks.hooks import quiet
from vaezoo.files import atomic
from vaezoo.interruption import Interrupted, handle, restore
from vaezoo.meters import NotFiniteError


@quiet
class Checkpoints(Callback):
    """Writes ``last.ckpt`` and, by the smallest validation loss of the last stage, ``best.ckpt``.

    ``last.ckpt`` is written at an epoch's end at most every ``seconds``, at the end of training, and when one of
    ``SIGNALS`` arrives: then the batch (and an open window of gradient accumulation, or a validation) is finished, the
    state saved and :class:`Interrupted` raised. An exception saves the state of the last finished batch unless an
    optimizer step was under way or a term was not finite. Files appear whole or not at all.

    Args:
        folder: where the files go.
        seconds: least time between two saves of ``last.ckpt`` at epochs' ends.
    """

    def __init__(self, folder: Path, seconds: float = 15.0) -> None:
        self.folder, self.seconds = folder, seconds
        self.best = float("inf")
        self._saved_at = time.monotonic()
        self._requested: int | None = None
        self._stepping = False
        self._handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._handlers = handle(self._request)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._release()

    def _release(self) -> None:
        restore(self._handlers)  # before Lightning takes its own handler away, which would otherwise come back
        self._handlers = {}

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self._requested is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._requested = number

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
        self._stepping = True

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._stepping = False
        number = self._agreed(trainer)
        window_open = (batch_idx + 1) % trainer.accumulate_grad_batches != 0
        last = batch_idx + 1 == trainer.num_training_batches  # the epoch's end saves what comes after the validation
        if number is not None and not window_open and not last:
            pl_module.update_state()
            self.save(trainer, "last")
            raise Interrupted(number)

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        loss = float(trainer.callback_metrics.get("val/loss", float("nan")))
        if trainer.training or trainer.validating:
            final = pl_module.stage_index == len(pl_module.stages) - 1
            if final and not trainer.sanity_checking and loss < self.best:
                self.best = loss
                self.save(trainer, "best")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        number = self._agreed(trainer)
        finished = trainer.current_epoch + 1 == trainer.max_epochs
        due = finished or trainer.should_stop or time.monotonic() - self._saved_at > self.seconds
        if trainer.strategy.broadcast(due or number is not None):
            self.save(trainer, "last")
        if number is not None:
            raise Interrupted(number)

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        safe = pl_module.automatic_optimization and trainer.accumulate_grad_batches == 1 and not self._stepping
        expected = isinstance(exception, Interrupted | NotFiniteError)
        if trainer.training and trainer.world_size == 1 and safe and not expected:
            batches: Any = trainer.fit_loop.epoch_loop.batch_progress.current
            if batches.processed == batches.ready:  # raised after the batch, by a hook
                pl_module.update_state()
            self.save(trainer, "last")
        self._release()

    def save(self, trainer: Trainer, name: str) -> None:
        """Writes ``name.ckpt`` after the metrics that led to it; every process must call it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        model: Any = trainer.lightning_module
        model.meters.flush(model)
        for logger in trainer.loggers:
            logger.save()
        if trainer.is_global_zero:
            with atomic(self.folder / f"{name}.ckpt") as draft:
                trainer.save_checkpoint(draft, weights_only=False)
        else:
            trainer.save_checkpoint(self.folder / f"{name}.ckpt", weights_only=False)
        self._saved_at = time.monotonic()

    def _agreed(self, trainer: Trainer) -> int | None:
        """The signal that any process has received, the same on all of them."""
        if trainer.world_size == 1:
            return self._requested
        number = torch.tensor(self._requested or 0, device=trainer.strategy.root_device)
        torch.distributed.all_reduce(number, torch.distributed.ReduceOp.MAX)
        return int(number) or None

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self.best = state_dict["best"]
