"""A progress bar that is cheap enough to leave on."""

from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import TQDMProgressBar

SHOWN = ("loss", "distortion", "rate")


class Progress(TQDMProgressBar):
    """Shows the latest logged loss, distortion and rate, in nats; it is redrawn every 50 batches only."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=50, leave=False)

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        metrics = {name.split("/")[1]: f"{float(v):.4g}" for name, v in trainer.callback_metrics.items() if name == "val/elbo"}
        latest: dict[str, float] = getattr(pl_module, "meters").latest  # noqa: B009
        return {**{name: f"{latest[name]:.4g}" for name in SHOWN if name in latest}, **metrics}
