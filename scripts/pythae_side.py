"""pythae's side of the benchmarks: networks equal to ours in pythae's classes, and the time of its last epoch."""

from pathlib import Path
from typing import Any

import torch
from laps import Laps
from pythae.data.datasets import BaseDataset
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers.training_callbacks import TrainingCallback
from torch import Tensor, nn


class Encoder(BaseEncoder):
    """A network that gives mean and log variance side by side or, with ``codes``, the code itself."""

    def __init__(self, net: nn.Module, codes: bool = False) -> None:
        super().__init__()
        self.net, self.codes = net, codes

    def forward(self, x: Tensor) -> ModelOutput:
        h = self.net(x)
        if self.codes:
            return ModelOutput(embedding=h)
        mean, log_variance = h.chunk(2, dim=1)
        return ModelOutput(embedding=mean, log_covariance=log_variance)


class Decoder(BaseDecoder):
    """A network that gives the logits of 28x28 pixels."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.net(z).sigmoid().view(-1, 1, 28, 28))


class Clock(TrainingCallback):
    """:class:`Laps` of the last epoch of a model, which is called once in a step."""

    def __init__(self, model: nn.Module, steps: int) -> None:
        self.steps, self.laps = steps, Laps(steps)
        model.register_forward_hook(lambda *args: self.laps.step())

    def on_train_step_begin(self, *args: object, **kwargs: object) -> None:  # once in an epoch
        self.laps = Laps(self.steps)


def seconds(model: nn.Module, images: Tensor, batch: int, folder: Path, trainer: Any, settings: Any) -> float:
    """Seconds of the second of two epochs.

    Args:
        model: of pythae.
        images: ``[N, 1, 28, 28]``, uint8.
        batch: images per step.
        folder: where pythae writes.
        trainer, settings: classes of pythae.
    """
    clock = Clock(model, len(images) // batch)
    lengths = {"per_device_train_batch_size": batch, "num_epochs": 2}
    chosen = settings(str(folder), **lengths, no_cuda=not torch.cuda.is_available())
    data = BaseDataset(images.float() / 255, torch.zeros(len(images)))
    trainer(model, data, None, chosen, [clock]).train()
    return clock.laps.seconds
