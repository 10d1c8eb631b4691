"""A progress bar that is cheap enough to leave on."""

from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import TQDMProgressBar

from vaezoo.callbacks.hooks import quiet
from vaezoo.variant import Variant

SHOWN = ("loss", "distortion", "rate")


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
