"""One training run: data, model, fit, evaluation and record, from a composed configuration."""

import logging
import os
import warnings
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, Trainer, seed_everything
from pytorch_lightning.callbacks import EarlyStopping, EMAWeightAveraging
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities import rank_zero_only

from vaezoo import folder
from vaezoo.build import build, latent_shape, save, settle
from vaezoo.callbacks.checkpoints import Checkpoints
from vaezoo.callbacks.loggers import close, log_pictures, log_results, make_loggers
from vaezoo.callbacks.pictures import Pictures, write_pictures
from vaezoo.callbacks.progress import progress
from vaezoo.callbacks.prune import Prune
from vaezoo.callbacks.record import Record
from vaezoo.construction import check_shares, instantiate
from vaezoo.errors import UsageError
from vaezoo.evaluate.evaluate import evaluate, write_results
from vaezoo.files import make_folder, write
from vaezoo.hardware import prepare, strategy_name
from vaezoo.interruption import Interrupted, ProcessLost, heard, process_is_lost
from vaezoo.meters import NotFiniteError
from vaezoo.runs import CONFIG, FINAL, PICTURES, hold
from vaezoo.variant import Variant


@dataclass
class Run:
    """A finished run.

    Args:
        path: its folder.
        model: the trained model, in eval mode.
        results: what results.json holds; empty without an evaluation.
        members: the runs of an ensemble.
    """

    path: Path
    model: Variant
    results: dict[str, Any] = field(default_factory=dict)
    members: list["Run"] = field(default_factory=list)


def train(config: DictConfig) -> Run:
    """Trains, evaluates and records what a configuration describes.

    Args:
        config: what :func:`vaezoo.compose` returns; ``config.run_dir`` is the folder that the run fills.

    Raises:
        UsageError: the data, the model or the hardware do not allow the run; nothing has been trained then.
        Interrupted: a signal stopped the run; ``resume=RUN`` continues it.
        ProcessLost: another process of the run died; ``resume=RUN`` continues it.
        NotFiniteError: a term became NaN or infinite.
    """
    config, checkpoint = folder.resumed(config) if config.resume else (config, None)
    if rank_zero_only.rank != 0:  # type: ignore[attr-defined]
        return fill(config, checkpoint)
    make_folder("run_dir", config.run_dir)
    with hold(config.run_dir):
        if not checkpoint:
            folder.check_vacant(config.run_dir, config.overwrite)
        return fill(config, checkpoint)


def fill(config: DictConfig, checkpoint: str | None = None) -> Run:
    """As `train`, for a caller that holds the folder's lock; ``checkpoint`` is where the same run continues."""
    with heard():
        return _fill(config, checkpoint)


def _fill(config: DictConfig, checkpoint: str | None) -> Run:
    if config.hardware.get("ensemble", 1) != 1:  # runs of earlier versions have no such key
        from vaezoo.ensemble.train import train_ensemble  # here, for it builds on this module

        return train_ensemble(config)
    run_dir = Path(config.run_dir).absolute()
    _prepare(config)
    data = instantiate(config.dataset)
    data.prepare_data()
    data.setup()
    check_shares(config.trainer, data)
    shapes = data.shapes(latent_shape(config.latent))
    seed_everything(config.seed, verbose=False)
    config = settle(config, shapes.support)
    model = build(config, shapes)
    plain: Any = OmegaConf.to_container(config, resolve=True)
    if checkpoint:
        folder.check_resumable(checkpoint, model, config.trainer.max_epochs)
        folder.check_data(run_dir, data.checksum, config.get("allow_other_data", False))
    loggers = make_loggers(config.logger, run_dir, plain, resuming=checkpoint is not None)
    record = Record(run_dir, config, data, model)
    trainer = _trainer(config, run_dir, model, loggers, record)
    model.check_trainer(trainer)
    if trainer.is_global_zero:
        (folder.reopen if checkpoint else folder.clear)(run_dir)
        write(run_dir / CONFIG, OmegaConf.to_yaml(config, resolve=True))
    results: dict[str, Any] = {}
    try:
        trainer.fit(model, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        model.eval()
        if trainer.is_global_zero:
            save(model, run_dir)
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        pruned = next((callback.reason for callback in callbacks if isinstance(callback, Prune)), None)
        if not pruned:
            results = evaluate(model, data, progress=config.trainer.progress_bar, **plain["evaluate"])
            if trainer.is_global_zero:
                write_results(run_dir, results)
        if config.callbacks.pictures and trainer.is_global_zero:
            drawn = write_pictures(model, data, run_dir / PICTURES)
            log_pictures(loggers, drawn, trainer.current_epoch, model.batches_seen + 1)
        log_results(loggers, plain, results, model.batches_seen + 1)
        record.finish(trainer, pruned)
    except BaseException as cause:
        error = ProcessLost(cause) if process_is_lost(cause) else cause
        record.stop(trainer, error)
        if isinstance(error, Interrupted | NotFiniteError | ProcessLost) and not trainer.is_global_zero:
            raise SystemExit(0) from error  # Lightning kills the first process, which raises it too, if another fails
        if error is not cause:
            raise error from cause
        raise
    finally:
        close(loggers, failed=record.fields["status"] not in FINAL)
    return Run(run_dir, model, results)


def _prepare(config: DictConfig) -> None:
    """Process-wide settings of the hardware."""
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*is smaller than the logging interval.*")
    warnings.filterwarnings("ignore", message=".*modules in eval mode.*")
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*find_unused_parameters=True was specified.*")
    warnings.filterwarnings("ignore", message=".*`broadcast_buffers` is deprecated.*")
    warnings.filterwarnings("ignore", message=".*sync_dist=True.*")  # our means are over all processes
    for name in ("pytorch_lightning", "lightning_fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Lightning sets this variable, with which every optimizer step asks the driver anew whether there is a GPU
    os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
    prepare(config.hardware)


def _trainer(config: DictConfig, run_dir: Path, model: Variant, loggers: list, record: Callback) -> Trainer:
    hardware, options = config.hardware, config.trainer
    return Trainer(
        accelerator=hardware.accelerator,
        devices=hardware.devices,
        num_nodes=hardware.num_nodes,
        strategy=_strategy(strategy_name(hardware), model),
        precision=hardware.precision,
        max_epochs=options.max_epochs,
        accumulate_grad_batches=options.accumulate,
        check_val_every_n_epoch=options.check_val_every_n_epoch,
        log_every_n_steps=options.log_every_n_batches,
        limit_train_batches=options.limit_train_batches,
        limit_val_batches=options.limit_val_batches,
        deterministic=options.deterministic,
        logger=loggers or False,
        callbacks=_callbacks(config, run_dir, record),
        default_root_dir=run_dir,
        profiler=Unprofiled(),
        enable_progress_bar=options.progress_bar,
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        inference_mode=False,  # penalties on gradients need autograd in evaluation too
    )


def _strategy(name: str, model: Variant) -> Any:
    if name == "fsdp":
        from vaezoo.sharding import sharded

        return sharded(model)
    if name != "ddp":
        return name
    # a stage, a player, a weight of 0 (a schedule's first value too) leave parameters without gradients
    return DDPStrategy(find_unused_parameters=True, broadcast_buffers=False)


def _callbacks(config: DictConfig, run_dir: Path, record: Callback) -> list[Callback]:
    options, chosen = config.trainer, [record]
    if config.hardware.strategy == "fsdp":
        from vaezoo.sharding import Unsharded

        if options.ema or config.callbacks.pictures_every_n_epochs:
            raise UsageError(
                "hardware.strategy=fsdp excludes trainer.ema and callbacks.pictures_every_n_epochs: while it trains no"
                " process has the whole model; use ddp"
            )
        chosen.append(Unsharded())  # before what looks at the trained model
    if options.progress_bar:
        chosen.append(progress())
    if options.ema:
        chosen.append(AveragedWeights(decay=options.ema, use_buffers=False))
    if config.callbacks.pictures and config.callbacks.pictures_every_n_epochs:
        chosen.append(Pictures(run_dir / PICTURES, config.callbacks.pictures_every_n_epochs))
    if options.prune is not None:
        chosen.append(Prune(run_dir, options.max_epochs, **options.prune))
    if options.early_stopping:
        chosen.append(
            LastStageEarlyStopping("val/loss", patience=options.early_stopping, check_on_train_epoch_end=False)
        )
    if config.callbacks.checkpoints:
        chosen.append(Checkpoints(run_dir / "checkpoints"))
    return chosen


class Unprofiled(PassThroughProfiler):
    """No profiling, without the new context manager that Lightning otherwise makes around every hook."""

    _nothing = nullcontext()

    def profile(self, action_name: str) -> Any:
        """A context that does nothing."""
        return self._nothing


class AveragedWeights(EMAWeightAveraging):
    """Averaged weights are those that a fit leaves, also where a checkpoint left nothing to train."""

    def on_fit_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._copy_average_to_current(pl_module)


class LastStageEarlyStopping(EarlyStopping):
    """Stops when the validation loss no longer falls, in the last stage only: earlier ones have other objectives."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({**state_dict, "patience": self.patience})  # which may change on resume

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience  # it had stopped before a resume

    def _should_skip_check(self, trainer: Trainer) -> bool:
        model = trainer.lightning_module
        early = isinstance(model, Variant) and model.stage_index < len(model.stages) - 1
        return early or super()._should_skip_check(trainer)
