"""Optimizers and their learning-rate schedule from the ``optimizer`` options."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from vaezoo.errors import UsageError, near
from vaezoo.schedules import Schedule

DEFAULTS: dict[str, Any] = {
    "name": "adam",
    "lr": 1e-3,
    "betas": (0.9, 0.999),
    "eps": 1e-8,
    "weight_decay": 0.0,
    "schedule": "constant",
    "warmup": 0.0,
    "final": 0.0,
    "clip": None,
}
NAMES = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def options(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Options completed with the defaults.

    Args:
        given: ``name`` (adam | adamw), ``lr``, ``betas``, ``eps``, ``weight_decay``, ``schedule`` (constant | linear |
            cosine), ``warmup`` (share of the stage over which lr rises from 0), ``final`` (share of lr left at the end)
            and ``clip`` (largest gradient norm, None for no clipping).

    Raises:
        UsageError: an option or a name is unknown.
    """
    merged = {**DEFAULTS, **(given or {})}
    for key in merged:
        if key not in DEFAULTS:
            raise UsageError(f"optimizer.{key} is not an option{near(key, DEFAULTS)} (options: {', '.join(DEFAULTS)})")
    if merged["name"] not in NAMES:
        hint = near(merged["name"], NAMES)
        raise UsageError(f"optimizer.name={merged['name']} is unknown; there are {', '.join(NAMES)}{hint}")
    if merged["schedule"] not in ("constant", "linear", "cosine"):
        raise UsageError(f"optimizer.schedule={merged['schedule']} is unknown; there are constant, linear, cosine")
    if merged["lr"] <= 0:
        raise UsageError(f"optimizer.lr={merged['lr']} must be positive")
    return merged


def make(parameters: Iterable[nn.Parameter], chosen: Mapping[str, Any]) -> torch.optim.Optimizer:
    """The optimizer of one update, in its fused form where the device has one.

    ``foreach`` is never used: it is the slowest of the three forms on a CPU.
    """
    parameters = list(parameters)
    fused = all(p.is_floating_point() and p.device.type in ("cpu", "cuda", "mps", "xpu") for p in parameters)
    keys = ("lr", "betas", "eps", "weight_decay")
    settings = {key: tuple(chosen[key]) if key == "betas" else float(chosen[key]) for key in keys}
    return NAMES[chosen["name"]](parameters, **settings, fused=fused)


def learning_rate(chosen: Mapping[str, Any], progress: float) -> float:
    """Learning rate at a stage's progress in [0, 1]: linear warm-up, then the decay, a function of progress alone."""
    warmup = chosen["warmup"]
    if progress < warmup:
        return chosen["lr"] * progress / warmup
    if chosen["schedule"] == "constant":
        return chosen["lr"]
    return chosen["lr"] * Schedule(chosen["schedule"], start=1.0, end=chosen["final"], begin=warmup).at(progress)
