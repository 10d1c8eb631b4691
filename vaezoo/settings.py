"""What the options of the YAML groups may be: types and ranges, checked when a configuration is composed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from vaezoo import samplers
from vaezoo.errors import UsageError, near

OPTIMIZERS = ("adam", "adamw", "adadelta", "adagrad", "adamax", "asgd", "nadam", "radam", "rmsprop", "rprop", "sgd")

MOST = 4096  # threads or processes; more of them is a slip of the hand
LOGGERS = ("csv", "wandb", "tensorboard", "none")


def logger_names(name: str | Sequence[str]) -> list[str]:
    """The loggers that ``logger.name``, one or a list, asks for."""
    return [name] if isinstance(name, str) else list(name)


def _require(name: str, value: object, holds: bool, allowed: str) -> None:
    if not holds:
        raise UsageError(f"{name}={value} must be {allowed}")


@dataclass
class Optimizer:
    """Options of `optimizer=`, described in :func:`vaezoo.optimizers.options`."""

    name: str = "adam"
    lr: float = 1e-3
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    eps: float = 1e-8
    weight_decay: float = 0.0
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup: float = 0.0
    final: float = 0.0
    clip: float | None = None
    args: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        known = f"one of {', '.join(OPTIMIZERS)}{near(self.name, OPTIMIZERS)}"
        _require("optimizer.name", self.name, self.name in OPTIMIZERS, known)
        _require("optimizer.lr", self.lr, self.lr > 0, "positive")
        _require("optimizer.betas", self.betas, len(self.betas) == 2, "two numbers")
        for beta in self.betas:
            _require("optimizer.betas", self.betas, 0 <= beta < 1, "in [0, 1)")
        for name in ("eps", "weight_decay"):
            _require(f"optimizer.{name}", getattr(self, name), getattr(self, name) >= 0, "at least 0")
        for name in ("warmup", "final"):
            _require(f"optimizer.{name}", getattr(self, name), 0 <= getattr(self, name) <= 1, "a share in [0, 1]")
        _require("optimizer.clip", self.clip, self.clip is None or self.clip > 0, "positive, or null")


@dataclass
class Trainer:
    """Options of `trainer=`: how long to train and how often to look."""

    max_epochs: int = 20
    accumulate: int = 1
    early_stopping: int | None = None
    prune: dict | None = None
    ema: float | None = None
    check_val_every_n_epoch: int = 1
    log_every_n_batches: int = 50
    limit_train_batches: int | float = 1.0
    limit_val_batches: int | float = 1.0
    deterministic: bool = False
    progress_bar: bool = True

    def __post_init__(self) -> None:
        for name in ("max_epochs", "accumulate", "check_val_every_n_epoch", "log_every_n_batches"):
            _require(f"trainer.{name}", getattr(self, name), getattr(self, name) >= 1, "at least 1")
        _require("trainer.early_stopping", self.early_stopping, (self.early_stopping or 1) >= 1, "at least 1, or null")
        prune = {"after": 0.25, "siblings": 4, **(self.prune or {})}
        for name in prune:
            _require("trainer.prune", self.prune, name in ("after", "siblings"), "null, or made of after and siblings")
        _require("trainer.prune.after", prune["after"], 0 <= prune["after"] <= 1, "a share in [0, 1]")
        _require("trainer.prune.siblings", prune["siblings"], prune["siblings"] >= 1, "at least 1")
        _require("trainer.ema", self.ema, self.ema is None or 0 < self.ema < 1, "in (0, 1), or null")
        for name in ("limit_train_batches", "limit_val_batches"):
            value = getattr(self, name)
            allowed = value >= 1 if isinstance(value, int) else 0 < value <= 1
            _require(f"trainer.{name}", value, allowed, "a share in (0, 1.0] or a number of batches >= 1")


@dataclass
class Hardware:
    """Options of `hardware=`: on what to train, and in which precision."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "cpu"
    devices: int | Literal["auto"] | list[int] = 1
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    num_nodes: int = 1
    precision: Literal["32-true", "64-true", "bf16-true", "16-true", "bf16-mixed", "16-mixed"] = "32-true"
    matmul_precision: Literal["auto", "highest", "high", "medium"] = "auto"
    flush_denormal: bool = True
    keep_memory: bool = True
    threads: int | None = None
    workers: int = 0
    ensemble: int | dict[str, list[float]] = 1
    slots: int | None = None

    def __post_init__(self) -> None:
        _require("hardware.devices", self.devices, self.devices not in (0, []), "at least 1, a list of ids, or auto")
        _require("hardware.num_nodes", self.num_nodes, self.num_nodes >= 1, "at least 1")
        threads = 1 if self.threads is None else self.threads
        _require("hardware.threads", self.threads, 1 <= threads <= MOST, f"from 1 to {MOST}, or null")
        _require("hardware.slots", self.slots, self.slots is None or self.slots >= 1, "at least 1, or null")
        _require("hardware.workers", self.workers, 0 <= self.workers <= MOST, f"from 0 to {MOST}")
        several = isinstance(self.ensemble, dict) or self.ensemble >= 1
        _require("hardware.ensemble", self.ensemble, several, "at least 1, or one key with its values")


@dataclass
class Logger:
    """Options of `logger=`; all but the name, of which there may be several, are for wandb."""

    name: str | list[str] = "csv"
    project: str = "vaezoo"
    group: str | None = None
    job_type: str = "train"
    tags: list[str] = field(default_factory=list)
    offline: bool = True

    def __post_init__(self) -> None:
        names = logger_names(self.name)
        for name in names:
            _require("logger.name", name, name in LOGGERS, f"one of {', '.join(LOGGERS)}{near(name, LOGGERS)}")
        alone = bool(names) and ("none" not in names or len(names) == 1)
        _require("logger.name", ",".join(names), alone, "one or several of them, or none alone")


@dataclass
class Callbacks:
    """Options of `callbacks=`: what a run leaves behind besides its numbers."""

    pictures: bool = True
    pictures_every_n_epochs: int | None = None
    checkpoints: bool = True

    def __post_init__(self) -> None:
        every = self.pictures_every_n_epochs
        _require("callbacks.pictures_every_n_epochs", every, every is None or every >= 1, "at least 1, or null")


@dataclass
class Evaluate:
    """Options of the evaluation that ends a run."""

    k: int = 500
    quality: list[str] | None = None
    samples: int = 10_000
    inception: bool = False

    def __post_init__(self) -> None:
        _require("evaluate.k", self.k, self.k >= 0, "at least 0")
        _require("evaluate.samples", self.samples, self.samples >= 10, "at least 10")
        for name in self.quality or []:
            known = samplers.names()
            _require("evaluate.quality", name, name in known, f"a list of {', '.join(known)}{near(name, known)}")


@dataclass
class Top:
    """Options that belong to no group."""

    run_dir: str
    sweep_dir: str = "sweeps/default"
    seed: int = 0
    latent: int | list[int] | None = None
    resume: str | None = None
    overwrite: bool = False
    allow_other_data: bool = False
    trust: bool = False

    def __post_init__(self) -> None:
        _require("seed", self.seed, 0 <= self.seed < 2**32, f"from 0 to {2**32 - 1}")
        for name in ("run_dir", "sweep_dir", "resume"):
            _require(name, "''", getattr(self, name) != "", "a path" if name != "resume" else "a path, or null")
        sizes = self.latent if isinstance(self.latent, list) else [1 if self.latent is None else self.latent]
        _require("latent", self.latent, bool(sizes) and min(sizes) >= 1, "made of sizes of at least 1")


SCHEMAS: dict[str, type] = {
    "optimizer": Optimizer,
    "trainer": Trainer,
    "hardware": Hardware,
    "logger": Logger,
    "callbacks": Callbacks,
    "evaluate": Evaluate,
}
