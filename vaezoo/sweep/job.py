"""One job of a sweep: it runs once, whoever starts it, and continues where it was cut."""

import json
import os
import sys
import traceback
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vaezoo import folder, identity, runs
from vaezoo.errors import UsageError
from vaezoo.files import write
from vaezoo.settings import logger_names
from vaezoo.sweep.done import options_stamp
from vaezoo.sweep.metric import optimized_metric
from vaezoo.trust import check_overrides

ADVICE = "try a smaller dataset.batch_size with a larger trainer.accumulate, or hardware.precision=bf16-mixed"


class JobFailed(Exception):
    """A job raised; its traceback has been printed and the message holds its last line. The other jobs go on."""


def run_once(config: DictConfig) -> float | None:
    """Train a job that is not trained yet.

    A finished or pruned folder is not run again; one that another process fills is waited for; an unfinished one with a
    checkpoint of the same configuration continues from it; any other, and one with a damaged file, starts from scratch.

    Args:
        config: finished by :func:`vaezoo.configs.finish`; ``config.run_dir`` is the job's folder.

    Returns:
        float | None: :func:`vaezoo.sweep.metric.optimized_metric` of the run.

    Raises:
        JobFailed: the run raised.
        vaezoo.interruption.Interrupted: a signal stopped it.
    """
    place = Path(config.run_dir)
    leads = leading()
    if leads:
        queue(place, list(config.overrides), dict(config.choices), config.seed)
        if runs.held(place):
            print(f"waiting for {place}, which another process fills", file=sys.stderr)
    with runs.hold(place, patience=-1) if leads else nullcontext():
        found = runs.read(place)
        same = _same(found.config, _plain(config))
        if found.state not in runs.FINAL:
            start = folder.checkpoint(place) if same and not found.faults else None
            if leads and start is None:
                folder.clear(place)  # what an earlier attempt left must not be taken for this one's
            _train(config, None if start is None else str(start), leads)
        elif not same:
            raise UsageError(f"{place} holds a finished run of another configuration: choose another sweep_dir")
    return optimized_metric(place)


def queue(place: Path, overrides: list[str], choices: dict[str, Any], seed: int) -> None:
    """Writes job.json, from which a job can be started again, and found without composing its configuration."""
    try:
        known = queued(place)
    except runs.Broken:
        known = {}
        folder.remove(place / runs.JOB)
    if known.get("options") != options_stamp():
        about = {"overrides": overrides, "choices": choices, "seed": seed, "options": options_stamp()}
        write(place / runs.JOB, json.dumps(about, indent=2) + "\n")


def queued(place: Path) -> dict[str, Any]:
    """What `queue` wrote; empty where it did not.

    Raises:
        runs.Broken: the file is damaged.
    """
    return runs.contents(place / runs.JOB)


def job_overrides(run: runs.RunRecord, trust: bool = False) -> list[str]:
    """The overrides of a job that ran or was queued, checked unless its folder is trusted.

    Raises:
        UsageError: one of them is not allowed in a folder that is not trusted.
    """
    if not trust:
        check_overrides(run.overrides, str(run.path / (runs.JOB if run.job else runs.CONFIG)))
    return run.overrides


def leading() -> bool:
    """Whether this is the first process of its run, the one that writes files."""
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"))


def note(place: Path, **fields: Any) -> None:
    """Changes some fields of run.json."""
    write(place / runs.RECORD, json.dumps({**runs.read(place).record, **fields}, indent=2) + "\n")


def last_line(error: BaseException) -> str:
    """What a traceback ends with, and what to do where memory ran out."""
    line = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    if isinstance(error, UsageError):
        return str(error)
    return f"{line.rstrip('.')}: {ADVICE}" if out_of_memory(error) else line


def out_of_memory(error: BaseException) -> bool:
    """Whether a GPU or the machine had no memory left."""
    name, text = type(error).__name__, str(error).lower()
    return isinstance(error, MemoryError) or name == "OutOfMemoryError" or "can't allocate memory" in text


def _same(recorded: dict[str, Any], config: Any) -> bool:
    """Whether a folder was filled with this configuration."""
    try:
        return bool(recorded) and identity.digest(recorded) == identity.digest(config)
    except KeyError:  # a group is missing
        return False


def _plain(config: DictConfig) -> Any:
    return OmegaConf.to_container(config, resolve=True)


def _train(config: DictConfig, checkpoint: str | None, leads: bool) -> None:
    from vaezoo.interruption import Interrupted, ProcessLost
    from vaezoo.train import fill

    if "wandb" in logger_names(config.logger.get("name", "csv")) and config.logger.group is None:
        config.logger.group = Path(config.run_dir).parent.name
    try:
        fill(config, checkpoint)
        return
    except Interrupted:
        raise
    except Exception as error:
        reason = last_line(error)
        if not isinstance(error, UsageError | ProcessLost):
            traceback.print_exception(error)
        traceback.clear_frames(error.__traceback__)  # they hold the model and its memory, which the next job needs
    if leads:
        note(Path(config.run_dir), status="failed", reason=reason)
    _free()
    raise JobFailed(f"{config.run_dir}: {reason}")


def _free() -> None:
    import gc

    import torch

    gc.collect()
    torch.cuda.empty_cache()
