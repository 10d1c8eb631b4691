"""One of the models that are trained together."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import seed_everything
from pytorch_lightning.loggers import Logger

from vaezoo.build import build, latent_shape, save, settle
from vaezoo.callbacks.loggers import log_results, make_loggers
from vaezoo.callbacks.pictures import write_pictures
from vaezoo.construction import instantiate
from vaezoo.data.datamodule import DataModule
from vaezoo.distributions import noise
from vaezoo.evaluate.evaluate import evaluate
from vaezoo.evaluate.results import write_results
from vaezoo.train import Run
from vaezoo.variant import Variant


@dataclass
class Member:
    """What a run of its own consists of.

    Args:
        config: that of a run of its own.
        path: its folder.
        data: after ``setup``.
        model: what is trained; during the training its weights are elsewhere.
        loggers: its own.
    """

    config: DictConfig
    path: Path
    data: DataModule
    model: Variant
    loggers: list[Logger]

    @classmethod
    def of(cls, config: DictConfig) -> "Member":
        """Data, model and loggers of a configuration."""
        path = Path(config.run_dir).absolute()
        data: DataModule = instantiate(config.dataset)
        data.prepare_data()
        data.setup()
        shapes = data.shapes(latent_shape(config.latent))
        config = settle(config, shapes.support)
        seed_everything(config.seed, verbose=False)
        model = build(config, shapes)
        return cls(config, path, data, model, make_loggers(config.logger, path, _plain(config)))

    def start(self, device: Any) -> None:
        """What a variant does once before training, on the device where it will train."""
        self.model.to(device)
        split = self.data.split("train")
        x = split[:: max(1, len(split) // 1000)].x
        with noise.seeded(self.model.seed):
            self.model.start(x.to(device))

    def finish(self, step: int) -> Run:
        """Weights, pictures and results, after training."""
        self.model.eval()
        plain = _plain(self.config)
        save(self.model, self.path)
        results = evaluate(self.model, self.data, progress=self.config.trainer.progress_bar, **plain["evaluate"])
        write_results(self.path, results)
        if self.config.callbacks.pictures:
            write_pictures(self.model, self.data, self.path / "pictures")
        log_results(self.loggers, plain, results, step)
        return Run(self.path, self.model, results)


def _plain(config: DictConfig) -> dict[str, Any]:
    return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]
