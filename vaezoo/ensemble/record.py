"""run.json of an ensemble and of each of its members."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from pytorch_lightning import LightningModule, Trainer

from vaezoo.callbacks.record import Record
from vaezoo.ensemble.member import Member


class EnsembleRecord(Record):
    """Keeps the time of the training that the members share.

    A member's run.json is that of a run of its own, with ``ensemble`` as the number of members: its ``seconds`` are
    those of all of them. The ensemble's own counts the parameters and images of all.

    Args:
        config: of the ensemble.
        members: before training.
    """

    def __init__(self, config: DictConfig, members: Sequence[Member]) -> None:
        first, size = members[0], len(members)
        super().__init__(Path(config.run_dir).absolute(), config, first.data, first.model)
        self.size = size
        self.each = [Record(member.path, member.config, member.data, member.model) for member in members]
        for record in (self, *self.each):
            record.fields["ensemble"] = size
        self.fields["parameters"] = {name: size * count for name, count in self.fields["parameters"].items()}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for record in self.each:
            record.on_fit_start(trainer, pl_module)
        super().on_fit_start(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.images += batch.index.shape[-1] * self.size

    def close(self, trainer: Trainer, failed: Mapping[int, BaseException]) -> None:
        """The members are finished, except for those that failed, by number."""
        self._pause()
        for number, record in enumerate(self.each):
            record.seconds, record.images = self.seconds, self.images // self.size
            if number in failed:
                record.stop(trainer, failed[number])
            else:
                record.finish(trainer)
        if failed:
            self.stop(trainer, next(iter(failed.values())))
        else:
            self.finish(trainer)
