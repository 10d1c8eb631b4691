"""Where the numbers and pictures of a run go: metrics.csv always, wandb or TensorBoard if asked."""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only

from vaezoo.callbacks.flat import flat_config, flat_results
from vaezoo.callbacks.metrics_csv import MetricsCSV
from vaezoo.callbacks.wandb_run import ID, WandbRun
from vaezoo.errors import UsageError
from vaezoo.runs import read
from vaezoo.settings import logger_names


def make_loggers(options: DictConfig, run_dir: Path, config: Mapping[str, Any], resuming: bool = False) -> list[Logger]:
    """The loggers of a run: metrics.csv beside whatever ``logger=`` names; nothing at all for ``none``.

    Args:
        options: the node ``logger`` of the configuration.
        run_dir: the run's folder.
        config: the resolved configuration as plain values, recorded with the run.
        resuming: the run goes on from a checkpoint; its wandb id and metrics.csv are kept.

    Raises:
        UsageError: TensorBoard is missing.
    """
    names = logger_names(options.name)
    if names == ["none"]:
        return []
    loggers: list[Logger] = [MetricsCSV(run_dir / "metrics.csv", resuming)]
    if "wandb" in names:
        loggers.append(WandbRun(options, run_dir, config, resuming))
    if "tensorboard" in names:
        if not importlib.util.find_spec("tensorboard"):
            raise UsageError("logger=tensorboard needs a package that is missing: pip install vaezoo[tensorboard]")
        loggers.append(TensorBoardLogger(run_dir, name="tensorboard", version=""))
    return loggers


def log_pictures(loggers: Sequence[Logger], drawn: Mapping[str, np.ndarray | str], epoch: int, step: int) -> None:
    """Hands pictures to the loggers that show some.

    Args:
        loggers: of the run.
        drawn: uint8 ``[H, W, 3]`` each; what could not be drawn (a string) is left out.
        epoch: epochs trained.
        step: batches seen.
    """
    pictures = {name: picture for name, picture in drawn.items() if not isinstance(picture, str)}
    for logger in loggers if pictures else ():
        if isinstance(logger, WandbRun):
            logger.log_pictures(pictures, epoch, step)
        elif isinstance(logger, TensorBoardLogger):
            for name, picture in pictures.items():
                logger.experiment.add_image(f"pictures/{name}", picture, step, dataformats="HWC")


@rank_zero_only
def log_results(loggers: Sequence[Logger], config: Mapping[str, Any], results: Mapping[str, Any], step: int) -> None:
    """Hands the evaluation that ends a run to the loggers; metrics.csv leaves it to results.json.

    Args:
        loggers: of the run.
        config: the resolved configuration as plain values.
        results: of the evaluation; may be empty.
        step: batches seen.
    """
    for logger in loggers:
        if isinstance(logger, WandbRun):
            logger.log_results(results, step)
        elif isinstance(logger, TensorBoardLogger):
            _compare_in_tensorboard(logger, config, results, step)


def log_evaluation(run_dir: Path, results: Mapping[str, Any]) -> None:
    """Adds a later evaluation of a finished run to the same run in wandb, if it was logged there.

    Args:
        run_dir: the run's folder.
        results: of the evaluation.
    """
    stored = read(run_dir)
    options = stored.config.get("logger", {})
    if "wandb" not in logger_names(options.get("name", "csv")) or not (run_dir / ID).is_file():
        return
    run = WandbRun(options, run_dir, stored.config, resuming=True)
    try:
        run.log_results(results, int(stored.columns["step"][-1] or 0))
    finally:
        run.end()


def close(loggers: Sequence[Logger], failed: bool = False) -> None:
    """Writes the rest and ends the run in wandb.

    Args:
        loggers: of the run.
        failed: the run did not end well.
    """
    for logger in loggers:
        if isinstance(logger, MetricsCSV):
            logger.save()
        elif isinstance(logger, WandbRun):
            logger.end(failed)
        elif isinstance(logger, TensorBoardLogger):
            logger.finalize("failed" if failed else "success")


def _compare_in_tensorboard(
    logger: TensorBoardLogger, config: Mapping[str, Any], results: Mapping[str, Any], step: int
) -> None:
    """The numbers as scalars, and the row of the table HParams, which names the scalars that it shows."""
    from torch.utils.tensorboard.summary import hparams

    numbers, writer = flat_results(results), logger.experiment
    logger.log_metrics(numbers, step)
    if results.get("kl_per_dimension") is not None:
        writer.add_histogram(f"{results['split']}/kl_per_dimension", np.ravel(results["kl_per_dimension"]), step)
    for name, reason in results.get("reasons", {}).items():
        writer.add_text(f"{results['split']}/reasons/{name}", str(reason), step)
    values = {key: value if isinstance(value, int | float | str) else str(value) for key, value in _chosen(config)}
    for summary in hparams(values, dict.fromkeys(numbers or ["val/elbo"])):
        writer._get_file_writer().add_summary(summary, step)


def _chosen(config: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in flat_config(config).items() if key != "run_dir"]
