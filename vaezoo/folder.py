"""What lies in a run's folder belongs to one run: when a folder may be filled, and what a resumed run may change."""

import shutil
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vaezoo import runs
from vaezoo.errors import UsageError
from vaezoo.resume import canonical
from vaezoo.runs import CONFIG, HISTORY, METRICS, PICTURES, RECORD, RESULTS, WEIGHTS
from vaezoo.trust import read_config

CHECKPOINTS = "checkpoints"
MEASURED = ("samples.png", "samples.npy")  # what `vaezoo sample` makes of the weights
WHOLE_GROUPS = ("hardware", "logger", "callbacks")  # on resume another option of them may be chosen
CHANGEABLE = (
    *("resume", "overwrite", "allow_other_data", "trust", "evaluate"),
    *WHOLE_GROUPS,
    *(f"trainer.{key}" for key in ("max_epochs", "early_stopping", "prune", "check_val_every_n_epoch")),
    *(f"trainer.{key}" for key in ("log_every_n_batches", "limit_val_batches", "deterministic", "progress_bar")),
    *(f"optimizer.{key}" for key in ("lr", "betas", "eps", "weight_decay", "schedule", "warmup", "final", "clip")),
    *(f"dataset.{key}" for key in ("root", "path", "workers", "eval_batch_size", "in_memory")),
)


def checkpoint(run_dir: str | Path) -> Path | None:
    """The checkpoint to continue from, the latest of ``last.ckpt`` and ``best.ckpt``; None where there is none."""
    files = [file for name in ("last", "best") if (file := Path(run_dir, CHECKPOINTS, f"{name}.ckpt")).is_file()]
    return max(files, key=lambda file: file.stat().st_mtime_ns, default=None)


def check_vacant(run_dir: str | Path, overwrite: bool = False) -> None:
    """Refuses a folder in which something has been trained.

    Args:
        run_dir: the folder that a new run is to fill; the caller holds its lock.
        overwrite: remove what lies there; it is removed when the new run is about to train, not here.

    Raises:
        UsageError: there is a run in it, finished or with a checkpoint to go on from, and ``overwrite`` is False.
    """
    folder = Path(run_dir)
    status = runs.read(folder).record.get("status", "queued")  # its lock is ours: `runs.state` would say "running"
    kept = checkpoint(folder) or any((folder / name).exists() for name in (WEIGHTS, RESULTS))
    if overwrite or not (kept or status in runs.FINAL):
        return
    if status in runs.FINAL:
        which, rest = f"a {status} run", f"resume={folder} trains it longer"
    else:
        which, rest = (
            f"an unfinished run ({'killed' if status == 'running' else status})",
            f"resume={folder} goes on with it",
        )
    raise UsageError(f"run_dir={folder} holds {which}: choose another folder; or {rest}, overwrite=true replaces it")


def clear(run_dir: str | Path) -> None:
    """Removes what a run has left in its folder, but not what belongs to a sweep or is not known."""
    names = (CHECKPOINTS, PICTURES, "tensorboard", CONFIG, RECORD, RESULTS, HISTORY, METRICS, WEIGHTS, *MEASURED)
    for name in names:
        remove(Path(run_dir) / name)


def remove(path: Path) -> None:
    """Removes a file, or the folder that lies in its place."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def reopen(run_dir: str | Path) -> None:
    """Makes a run unfinished: its weights, and what was made of them, give way to those that it will have."""
    from vaezoo.evaluate.results import retire_results

    folder = Path(run_dir)
    retire_results(folder)
    for file in (folder / WEIGHTS, *(folder / name for name in MEASURED), *(folder / PICTURES).glob("*.png")):
        file.unlink(missing_ok=True)


def resumed(config: DictConfig) -> tuple[DictConfig, str]:
    """The run's own configuration, with what the user changes, and the checkpoint to continue from.

    Args:
        config: with ``resume``, a run's folder or one of its checkpoints.

    Raises:
        UsageError: there is no such run, or an option cannot change once a run has been trained.
    """
    place = Path(config.resume)
    start = checkpoint(place) or place / CHECKPOINTS / "last.ckpt" if place.is_dir() else place
    run_dir = place if place.is_dir() else place.parent.parent
    for file in (start, run_dir / CONFIG):
        if not file.is_file():
            raise UsageError(f"resume={config.resume}: there is no {file}")
    own = read_config(run_dir, config.trust)
    OmegaConf.set_struct(own, False)
    for text in config.overrides:
        key = text.lstrip("+~").partition("=")[0]
        if not _may_change(key):
            kept = own.choices[key] if key in own.choices else OmegaConf.select(own, key)
            shown = "null" if kept is None else kept
            raise UsageError(f"{text} cannot change on resume: {run_dir} keeps its {key}={shown}")
        if key in WHOLE_GROUPS:
            own[key], own.choices[key] = config[key], config.choices[key]
        elif key != "resume":
            OmegaConf.update(own, key, OmegaConf.select(config, key))
    own.run_dir, own.resume = str(run_dir), str(start)
    return own, str(start)


def check_resumable(checkpoint: str | Path, model: Any, epochs: int) -> None:
    """Refuses a checkpoint from which a model cannot go on.

    Args:
        checkpoint: the file.
        model: the variant as the configuration builds it.
        epochs: ``trainer.max_epochs``.

    Raises:
        UsageError: the file cannot be read, belongs to another model, or has been trained for more epochs.
    """
    import torch  # here, for a sweep's launcher reads this module too

    try:
        stored = torch.load(checkpoint, map_location="meta", weights_only=True, mmap=True)
        weights = stored["state_dict"]
        canonical(stored)
    except Exception as error:  # torch's readers raise many types on broken files
        raise UsageError(f"{checkpoint} cannot be read ({str(error).splitlines()[0]})") from error
    if wrong := _differing(weights, model.state_dict()):
        raise UsageError(f"{checkpoint} holds the weights of another model: {', '.join(wrong[:3])}")
    loop = stored["loops"]["fit_loop"]
    begun = loop["epoch_loop.batch_progress"]["current"]["processed"] > 0
    trained = loop["epoch_progress"]["current"]["processed"] + begun
    if epochs < trained:
        raise UsageError(f"trainer.max_epochs={epochs} is less than the {trained} epochs that {checkpoint} has trained")


def check_data(run_dir: str | Path, checksum: str, allow_other_data: bool = False) -> None:
    """Refuses data that are not those of a run's training.

    Args:
        run_dir: the run's folder.
        checksum: of the data that are there now.
        allow_other_data: take them all the same.

    Raises:
        UsageError: the checksum is not the recorded one.
    """
    recorded = runs.read(run_dir).record.get("data", {}).get("checksum", checksum)
    if recorded != checksum and not allow_other_data:
        raise UsageError(
            f"{run_dir} was trained on other data (checksum {recorded}, now {checksum}): restore them, or allow it"
            " with allow_other_data=true (vaezoo evaluate --allow-other-data)"
        )


def _may_change(key: str) -> bool:
    return any(key == allowed or key.startswith(f"{allowed}.") for allowed in CHANGEABLE)


def _differing(weights: dict[str, Any], own: dict[str, Any]) -> list[str]:
    shapes = {name: list(value.shape) for name, value in weights.items()}
    expected = {name: list(value.shape) for name, value in own.items()}
    return [
        f"{name} is {shapes.get(name, 'missing')} instead of {expected.get(name, 'absent')}"
        for name in sorted({*shapes, *expected})
        if shapes.get(name) != expected.get(name)
    ]
