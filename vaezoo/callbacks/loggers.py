"""Where the numbers of a run go: metrics.csv always, wandb or TensorBoard if asked."""

import csv
import importlib.util
import io
import netrc
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from vaezoo.errors import UsageError, near
from vaezoo.files import write

NAMES = ("csv", "wandb", "tensorboard", "none")
SECONDS = 5.0  # between two writes of metrics.csv


class MetricsCSV(Logger):
    """Writes metrics.csv: one row per step, one column per metric, with new columns as they come.

    The file is appended to every few seconds and rewritten, whole, when a metric appears that it has no column for.
    On resume the rows from the first step that is logged anew are dropped; the others stay.

    Args:
        path: the file.
        resuming: keep what an earlier part of the run has written.
    """

    def __init__(self, path: Path, resuming: bool = False) -> None:
        super().__init__()
        self.path, self._resuming = path, resuming
        self._columns: list[str] = ["step", "epoch"]
        self._rows: list[dict[str, Any]] = []
        self._started, self._written = False, time.monotonic()

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self.path.parent)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: config.yaml holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Adds values at a step; values of the same step share a row."""
        if self._rows and self._rows[-1]["step"] == step:
            self._rows[-1].update(metrics)
        else:
            self._rows.append({"step": step, **metrics})
        if time.monotonic() - self._written > SECONDS:
            self.save()

    @rank_zero_only
    def save(self) -> None:
        """Writes what has been logged since the last time."""
        rows, self._rows, self._written = self._rows, [], time.monotonic()
        if not rows:
            return
        new = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in self._columns]
        if self._started and not new:
            with self.path.open("a", newline="") as file:
                csv.DictWriter(file, self._columns, lineterminator="\n").writerows(rows)
            return
        kept = _stored(self.path) if self._started or self._resuming else []
        if not self._started:
            kept = [row for row in kept if int(row["step"]) < rows[0]["step"]]
        self._columns = list(dict.fromkeys([*self._columns, *(name for row in kept[:1] for name in row), *new]))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self._columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows([*kept, *rows])
        write(self.path, text.getvalue())
        self._started = True

    def finalize(self, status: str) -> None:
        """Writes the rest."""
        self.save()


def make_loggers(options: DictConfig, run_dir: Path, config: Mapping[str, Any], resuming: bool = False) -> list[Logger]:
    """The loggers of a run: metrics.csv beside whatever ``logger=`` names; nothing at all for ``none``.

    Args:
        options: the node ``logger`` of the configuration.
        run_dir: the run's folder.
        config: the resolved configuration as plain values, recorded with the run.
        resuming: the run goes on from a checkpoint; its wandb id and metrics.csv are kept.

    Raises:
        UsageError: the name is unknown, or TensorBoard is missing.
    """
    if options.name not in NAMES:
        raise UsageError(f"logger.name={options.name} must be one of {', '.join(NAMES)}{near(options.name, NAMES)}")
    if options.name == "none":
        return []
    loggers: list[Logger] = [MetricsCSV(run_dir / "metrics.csv", resuming)]
    if options.name == "wandb":
        loggers.append(_wandb(options, run_dir, config, resuming))
    if options.name == "tensorboard":
        if not importlib.util.find_spec("tensorboard"):
            raise UsageError("logger=tensorboard needs a package that is missing: pip install vaezoo[tensorboard]")
        loggers.append(TensorBoardLogger(run_dir, name="tensorboard", version=""))
    return loggers


def close(loggers: Sequence[Logger]) -> None:
    """Writes the rest and ends the wandb run, so that the next job of this process gets one of its own."""
    for logger in loggers:
        if isinstance(logger, MetricsCSV):
            logger.save()
        if isinstance(logger, WandbLogger):
            import wandb

            wandb.finish()


def _wandb(options: DictConfig, run_dir: Path, config: Mapping[str, Any], resuming: bool) -> WandbLogger:
    choices = config["choices"]
    axes = [choices[group] for group in ("variant", "dataset", "likelihood") if choices.get(group)]
    return WandbLogger(
        project=options.project,
        name=f"{choices['variant']}-{choices['dataset']}-{config['seed']}",
        id=_wandb_id(run_dir / "wandb_id.txt", resuming),
        resume="allow",
        offline=options.offline or not _has_key(),
        save_dir=str(run_dir),
        group=options.group,
        job_type=options.job_type,
        tags=[*axes, *options.tags],
        config=dict(config),
    )


def _wandb_id(path: Path, resuming: bool) -> str:
    """The run's own id: that of its earlier part on resume, else a new one."""
    if resuming and path.is_file():
        return path.read_text().strip()
    identity = uuid.uuid4().hex[:8]
    rank_zero_only(write)(path, identity + "\n")
    return identity


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _stored(path: Path) -> list[dict[str, str]]:
    """The rows of a metrics.csv, less part of a line that a process that was killed may have left."""
    if not path.is_file():
        return []
    text = path.read_text()
    return list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])))
