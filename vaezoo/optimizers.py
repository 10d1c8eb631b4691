"""Optimizers and their learning-rate schedule from the ``optimizer`` options."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from vaezoo.errors import UsageError, near
from vaezoo.schedules import Schedule
from vaezoo.settings import OPTIMIZERS

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
    "args": None,
}
UNUSED = {"params", "foreach", "maximize", "differentiable", "capturable"}  # arguments that cannot be chosen
CONSTRUCTED = ("lr", "betas", "eps", "weight_decay")  # handed to the optimizer where it takes them


class _Kept(torch.optim.Optimizer):
    """Keeps the lists of tensors that torch's fused optimizers make anew in each step: the same kernel, the same bits.

    So it is on CPUs, where every parameter has a gradient and the same type; any other step is torch's own, and so are
    those of AMSGrad, of a maximum and of scaled gradients.
    """

    kernel: Callable[..., None]
    _kept: tuple[Tensor, list[list[Tensor]]] | None = None  # numbers of steps; means, squares and each number of steps

    def step(self, closure: Any = None) -> Any:
        """One step, after the closure, whose value it returns."""
        loss = closure() if closure is not None else None
        group, *others = self.param_groups
        gradients = [parameter.grad for parameter in group["params"]]
        scaled = getattr(self, "grad_scale", None) is not None  # as torch.amp.GradScaler leaves word
        if self._kept is None or others or scaled or any(gradient is None for gradient in gradients):
            super().step()
            usual = group["fused"] and not (others or group["amsgrad"] or group["maximize"])
            self._kept = self._made(group["params"]) if usual else None
            return loss
        numbers, (means, squares, steps) = self._kept
        with torch.no_grad():
            numbers.add_(1)
            self.kernel(
                *(group["params"], gradients, means, squares, [], steps),
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )
        return loss

    def _made(self, parameters: list[nn.Parameter]) -> tuple[Tensor, list[list[Tensor]]] | None:
        kinds = {(parameter.device.type, parameter.dtype) for parameter in parameters}
        states = [state for parameter in parameters if (state := self.state.get(parameter))]
        if len(kinds) != 1 or "cpu" not in kinds.pop() or len(states) < len(parameters):
            return None
        numbers = torch.stack([state["step"] for state in states])
        for state, number in zip(states, numbers, strict=True):
            state["step"] = number  # a view, so that one addition counts for all
        return numbers, [[state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step")]

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._kept = None


class Adam(_Kept, torch.optim.Adam):
    """Kingma and Ba, ICLR 2015 (arXiv 1412.6980), algorithm 1."""

    kernel = staticmethod(torch._fused_adam_)


class AdamW(_Kept, torch.optim.AdamW):
    """Loshchilov and Hutter, ICLR 2019 (arXiv 1711.05101), algorithm 2."""

    kernel = staticmethod(torch._fused_adamw_)


NAMES: dict[str, type[torch.optim.Optimizer]] = {
    **{name.lower(): cls for name, cls in vars(torch.optim).items() if name.lower() in OPTIMIZERS},
    **{"adam": Adam, "adamw": AdamW},
}


def options(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Options completed with the defaults.

    Args:
        given: ``name`` (adam, adamw, sgd, ...: those of torch in lower case), ``lr``, ``betas``, ``eps``,
            ``weight_decay``, ``args`` (other arguments of the optimizer, e.g. ``momentum``), ``schedule`` (constant |
            linear | cosine), ``warmup`` (share of the stage over which lr rises from 0), ``final`` (share of lr left at
            the end) and ``clip`` (largest gradient norm, None for no clipping).

    Raises:
        UsageError: an option or a name is unknown, or the optimizer does not take an option that is given.
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
    taken = arguments(merged["name"])
    for key in ("betas", "eps", "weight_decay"):
        if key not in taken and merged[key] != type(merged[key])(DEFAULTS[key]):
            raise UsageError(
                f"optimizer.{key}={merged[key]} has no effect: optimizer.name={merged['name']} takes no {key}"
            )
    others = sorted(taken - {*CONSTRUCTED, "fused"})
    for key in merged["args"] or ():
        if key not in others:
            raise UsageError(f"optimizer.args.{key}: {merged['name']} takes {', '.join(others)}{near(key, others)}")
    return merged


def make(parameters: Iterable[nn.Parameter], chosen: Mapping[str, Any]) -> torch.optim.Optimizer:
    """The optimizer of one update, in its fused form where the device has one.

    ``foreach`` is never used: it is the slowest of the three forms on a CPU.
    """
    parameters = list(parameters)
    fused = all(p.is_floating_point() and p.device.type in ("cpu", "cuda", "mps", "xpu") for p in parameters)
    kernel = {"fused": fused} if "fused" in arguments(chosen["name"]) else {}
    return NAMES[chosen["name"]](parameters, **{**_constructed(chosen), **kernel, **(chosen["args"] or {})})


def configure(optimizer: torch.optim.Optimizer, chosen: Mapping[str, Any]) -> None:
    """Gives an optimizer whose state comes from a checkpoint the options that are chosen now."""
    for group in optimizer.param_groups:
        group.update({**_constructed(chosen), **(chosen["args"] or {})})


def _constructed(chosen: Mapping[str, Any]) -> dict[str, Any]:
    taken = arguments(chosen["name"])
    values = {key: chosen[key] for key in CONSTRUCTED if key in taken}
    return {key: tuple(value) if key == "betas" else float(value) for key, value in values.items()}


@cache
def arguments(name: str) -> frozenset[str]:
    """Names of what one of :data:`NAMES` takes beside the parameters."""
    return frozenset(inspect.signature(NAMES[name]).parameters) - UNUSED


def learning_rate(chosen: Mapping[str, Any], progress: float) -> float:
    """Learning rate at a stage's progress in [0, 1]: linear warm-up, then the decay, a function of progress alone."""
    warmup = chosen["warmup"]
    if progress < warmup:
        return chosen["lr"] * progress / warmup
    if chosen["schedule"] == "constant":
        return chosen["lr"]
    return chosen["lr"] * Schedule(chosen["schedule"], start=1.0, end=chosen["final"], begin=warmup).at(progress)
