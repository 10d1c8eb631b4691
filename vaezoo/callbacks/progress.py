"""How a training goes: a bar in a terminal, a line per epoch elsewhere."""

import sys
import time
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ProgressBar, TQDMProgressBar

from vaezoo.callbacks.hooks import quiet
from vaezoo.variant import Variant

SHOWN = ("loss", "distortion", "rate")


def progress() -> ProgressBar:
    """What suits where standard error goes."""
    return Progress() if sys.stderr.isatty() else EpochLines()


@quiet
class Progress(TQDMProgressBar):
    """Shows the latest logged loss, distortion and rate, in nats; it is redrawn every 50 batches only."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=50, leave=False)

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        latest = pl_module.meters.latest if isinstance(pl_module, Variant) else {}
        shown = {name: f"{latest[name]:.4g}" for name in SHOWN if name in latest}
        held_out = trainer.callback_metrics.get("val/elbo")
        return shown if held_out is None else {**shown, "val/elbo": f"{float(held_out):.4g}"}


@quiet
class EpochLines(ProgressBar):
    """One line on standard error per epoch: what was measured on held-out data, in nats, and the time so far."""

    def __init__(self) -> None:
        super().__init__()
        self._begin = time.monotonic()

    def disable(self) -> None:
        """Lightning's hook for processes other than the first."""
        self._enabled = False

    def enable(self) -> None:
        """The inverse of `disable`."""
        self._enabled = True

    _enabled = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        names = [f"val/{name}" for name in ("elbo", *SHOWN) if f"val/{name}" in trainer.callback_metrics]
        found = "".join(f", {name} {float(trainer.callback_metrics[name]):.4g}" for name in names)
        if self._enabled:
            seconds = time.monotonic() - self._begin
            print(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}, {seconds:.0f} s{found}", file=sys.stderr)
