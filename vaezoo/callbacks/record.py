"""The file run.json: what was run, where, on what, and how it went."""

import json
import os
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from pytorch_lightning import Callback, LightningModule, Trainer

import vaezoo
from vaezoo.build import write_shapes
from vaezoo.callbacks.hooks import quiet
from vaezoo.data.datamodule import DataModule
from vaezoo.files import checksum, write
from vaezoo.interruption import Interrupted
from vaezoo.runs import RECORD, WEIGHTS
from vaezoo.variant import Variant

INTERRUPTIONS = (Interrupted, KeyboardInterrupt, SystemExit)


@quiet
class Record(Callback):
    """Writes run.json when training starts and when the run ends, however it ends.

    ``status`` is ``running``, ``finished``, ``interrupted``, ``failed`` or ``pruned``, the last three with ``reason``.
    ``seconds`` is the time of training without validation, over all parts of a run that was resumed.

    Args:
        run_dir: the run's folder.
        config: the resolved configuration.
        datamodule: after ``setup``.
        model: what is trained.
    """

    def __init__(self, run_dir: Path, config: DictConfig, datamodule: DataModule, model: Variant) -> None:
        self.path = run_dir / RECORD
        self.seconds, self.images = 0.0, 0
        self._since: float | None = None
        every = list(model.parameters())
        self.fields: dict[str, Any] = {
            "status": "running",
            "reason": None,
            "seed": config.seed,
            "data": {"name": datamodule.name, "checksum": datamodule.checksum, **about(datamodule)},
            "shapes": write_shapes(model.shapes),
            "parameters": {"total": _count(every), "trainable": _count([p for p in every if p.requires_grad])},
            "versions": versions(),
            "git": git(),
            "command": sys.argv,
        }

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.fields["hardware"] = hardware(trainer)
        self._write(trainer, "running")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.images += len(batch[0]) * trainer.world_size

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._pause()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._pause()

    def finish(self, trainer: Trainer, pruned: str | None = None) -> None:
        """Training and evaluation are over; ``pruned`` is why training ended early."""
        self._write(trainer, "pruned" if pruned else "finished", pruned)

    def stop(self, trainer: Trainer, exception: BaseException) -> None:
        """Training or evaluation did not end well."""
        self._pause()
        interrupted = isinstance(exception, INTERRUPTIONS)
        self._write(trainer, "interrupted" if interrupted else "failed", f"{type(exception).__name__}: {exception}")

    def state_dict(self) -> dict[str, Any]:
        """Time and images so far."""
        running = 0.0 if self._since is None else time.perf_counter() - self._since
        return {"seconds": self.seconds + running, "images": self.images}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting from a checkpoint."""
        self.seconds, self.images = state_dict["seconds"], state_dict["images"]

    def _pause(self) -> None:
        if self._since is not None:
            self.seconds += time.perf_counter() - self._since
            self._since = None

    def _write(self, trainer: Trainer, status: str, reason: str | None = None) -> None:
        if not trainer.is_global_zero:
            return
        self.fields.update(
            status=status,
            reason=reason,
            seconds=round(self.seconds, 3),
            images_per_second=round(self.images / self.seconds, 1) if self.seconds else None,
            epochs=trainer.current_epoch,
            peak_memory_mb=peak_memory(),
            weights=checksum(self.path.with_name(WEIGHTS)),
        )
        write(self.path, json.dumps(self.fields, indent=2) + "\n")


def about(datamodule: DataModule) -> dict[str, Any]:
    """Names of the classes and units of the data, where there are any."""
    found: dict[str, Any] = {}
    if datamodule.label_names is not None:
        found["label_names"] = list(datamodule.label_names)
    if datamodule.scale is not None:
        found["standardised"] = datamodule.scale.write()
    return found


def versions() -> dict[str, str]:
    """Versions of what decides the numbers."""
    packages = {name: metadata.version(name) for name in ("torch", "pytorch-lightning", "hydra-core")}
    return {"vaezoo": vaezoo.__version__, "python": platform.python_version(), **packages}


def git() -> dict[str, Any] | None:
    """Commit of the working directory and whether it has changes; None outside a repository."""
    commit, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain")
    return None if commit is None else {"commit": commit, "dirty": bool(changes)}


def hardware(trainer: Trainer) -> dict[str, Any]:
    """What a run computed on."""
    device = trainer.strategy.root_device
    gpu = device.type == "cuda"
    return {
        "accelerator": device.type,
        "device": torch.cuda.get_device_name(device) if gpu else _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processes": trainer.world_size,
        "precision": str(trainer.precision),
        "matmul_precision": torch.get_float32_matmul_precision(),
    }


def peak_memory() -> dict[str, int]:
    """Largest memory of this process so far, MiB: ``host`` and, with a GPU in use, ``gpu``."""
    peak = {}
    if sys.platform != "win32":
        import resource

        unit = 2**20 if sys.platform == "darwin" else 2**10
        peak["host"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit
    if torch.cuda.is_initialized():
        peak["gpu"] = torch.cuda.max_memory_allocated() // 2**20
    return peak


def _count(parameters: list[torch.nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, encoding="utf-8", timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
