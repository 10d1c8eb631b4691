"""A run as wandb's own views compare it: flat configuration, one x axis, best values, pictures and results."""

import netrc
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from vaezoo.callbacks.flat import flat_config, flat_results
from vaezoo.files import write

ID = "wandb_id.txt"  # in the run's folder
STEP = "trainer/global_step"  # x axis: batches seen


class WandbRun(WandbLogger):
    """The run in wandb; offline where it is asked for and where there is no key.

    ``val/elbo`` is summarised by its largest value, all other ``val/...`` by their smallest, the rest by the last.

    Args:
        options: the node ``logger`` of the configuration.
        run_dir: the run's folder, which keeps the run's id.
        config: the resolved configuration as plain values.
        resuming: go on with the id that the folder keeps.
    """

    def __init__(self, options: Mapping[str, Any], run_dir: Path, config: Mapping[str, Any], resuming: bool) -> None:
        choices = config["choices"]
        axes = [choices[group] for group in ("variant", "dataset", "likelihood") if choices.get(group)]
        folder, variant = run_dir.name, choices["variant"]
        super().__init__(
            project=options["project"],
            name=folder if variant in folder else f"{variant}-{folder}",
            id=_kept_id(run_dir / ID, resuming),
            resume="allow",
            offline=options["offline"] or not has_key(),
            save_dir=str(run_dir.absolute()),  # wandb writes from a process with a folder of its own
            group=options["group"],
            job_type=options["job_type"],
            tags=[*axes, *options["tags"]],
            config=flat_config(config),
        )
        self._wandb_init.pop("anonymous", None)  # of which wandb would warn
        self._summarised: set[str] = set()
        self._pictures: Any = None

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Adds values at a step, in batches seen."""
        # by name: wandb takes the first pattern that matches, and Lightning has set one for all names
        for name in [name for name in metrics if name.startswith("val/") and name not in self._summarised]:
            self._summarised.add(name)
            best = "max" if name == "val/elbo" else "min"
            self.experiment.define_metric(name, step_metric=STEP, step_sync=True, summary=best)
        super().log_metrics(metrics, step)

    @rank_zero_only
    def log_pictures(self, pictures: Mapping[str, np.ndarray], epoch: int, step: int) -> None:
        """Adds ``pictures/NAME``, which has a slider over steps, and a row to the table ``pictures/epochs``.

        Args:
            pictures: uint8 ``[H, W, 3]`` each.
            epoch: epochs trained.
            step: batches seen.
        """
        import wandb

        images = {name: wandb.Image(picture) for name, picture in pictures.items()}
        if self._pictures is None:
            self._pictures = wandb.Table(["epoch", *images], log_mode="INCREMENTAL")  # each time the new rows only
        self._pictures.add_data(epoch, *images.values())
        values = {f"pictures/{name}": [image] for name, image in images.items()}
        self.log_metrics({**values, "pictures/epochs": self._pictures}, step)

    @rank_zero_only
    def log_results(self, results: Mapping[str, Any], step: int) -> None:
        """Adds an evaluation: its numbers, the rate of each dimension and why some numbers are missing."""
        import wandb

        values: dict[str, Any] = dict(flat_results(results))
        if results.get("kl_per_dimension") is not None:
            rows = [[k, float(nats)] for k, nats in enumerate(np.ravel(results["kl_per_dimension"]))]
            table = wandb.Table(["dimension", "nats"], rows)
            title = "rate of each latent dimension, nats"
            values[f"{results['split']}/kl_per_dimension"] = wandb.plot.bar(table, "dimension", "nats", title)
        if results.get("reasons"):
            reasons = [list(pair) for pair in results["reasons"].items()]
            values[f"{results['split']}/reasons"] = wandb.Table(["missing", "reason"], reasons)
        if values:
            self.log_metrics(values, step)

    @staticmethod
    @rank_zero_only
    def end(failed: bool = False) -> None:
        """Ends the run, so that the next job of this process gets one of its own.

        Args:
            failed: wandb shows the run as failed.
        """
        import wandb

        wandb.finish(exit_code=int(failed))


def _kept_id(path: Path, resuming: bool) -> str:
    """The run's own id: that of its earlier part on resume, else a new one."""
    if resuming and path.is_file():
        return path.read_text(encoding="utf-8").strip()
    identity = uuid.uuid4().hex[:8]
    rank_zero_only(write)(path, identity + "\n")
    return identity


def has_key() -> bool:
    """Whether there is an API key for the server of wandb that this process would talk to."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    server = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc.netrc().authenticators(server) is not None
    except (OSError, netrc.NetrcParseError):
        return False
