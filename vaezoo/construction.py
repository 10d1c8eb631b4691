"""What goes wrong while objects of a configuration are built, as errors that name the whole key."""

import math
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import hydra
import torch
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import LightningDataModule
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from vaezoo.errors import UsageError
from vaezoo.registry import GROUPS
from vaezoo.sweep.job import out_of_memory

COPIES = 4  # of a parameter while Adam trains it: itself, its gradient and two moments
SIZES = ("latent", "encoder.hidden", "decoder.hidden", "encoder.channels", "decoder.channels")
P = ParamSpec("P")
R = TypeVar("R")


def instantiate(node: DictConfig, **more: Any) -> Any:
    """As Hydra's, but an error of the user is raised as it is.

    Raises:
        UsageError: the class refuses an argument.
    """
    try:
        return hydra.utils.instantiate(node, **more)
    except InstantiationException as error:
        if isinstance(error.__cause__, UsageError):
            raise error.__cause__ from None
        raise


def check_shares(trainer: Any, data: LightningDataModule) -> None:
    """Refuses a share of the batches that is less than one batch.

    Args:
        trainer: the options of the group `trainer`.
        data: after ``setup``.

    Raises:
        UsageError: ``limit_train_batches`` or ``limit_val_batches`` leaves none.
    """
    loaders = {"limit_train_batches": data.train_dataloader, "limit_val_batches": data.val_dataloader}
    for name, loader in loaders.items():
        share = trainer[name]
        if isinstance(share, float) and share < 1 and int(share * (n := len(loader()))) < 1:
            raise UsageError(f"trainer.{name}={share} of {n} batches is less than one: it must be at least {1 / n:.3g}")


def explained(build: Callable[P, R]) -> Callable[P, R]:
    """A function that builds a model from a configuration, its first argument, with errors that name the whole key.

    Raises:
        UsageError: the configuration is wrong, or the model would not fit into memory.
    """

    @wraps(build)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        config: Any = args[0]
        try:
            with affordable(config):
                return build(*args, **kwargs)
        except UsageError as error:
            raise UsageError(whole_key(str(error), config)) from error
        except (RuntimeError, MemoryError, OverflowError) as error:
            if out_of_memory(error) or "overflow" in str(error).lower():
                raise UsageError(_too_large(config, "more memory than this machine gives")) from error
            raise

    return inner


@contextmanager
def affordable(config: DictConfig) -> Iterator[None]:
    """Refuses parameters that cannot be trained in the memory of this machine, before they are filled.

    Raises:
        UsageError: those made while the context is open take too much.
    """
    there, total = memory(), 0

    def count(module: nn.Module, name: str, parameter: torch.Tensor | None) -> None:
        nonlocal total
        if isinstance(parameter, nn.Parameter) and not parameter.is_meta:
            total += COPIES * parameter.numel() * parameter.element_size()
            if total > there:
                sizes = f"at least {total / 2**30:.3g} GB to train, and this machine has {there / 2**30:.3g} GB"
                raise UsageError(_too_large(config, sizes))

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


def memory() -> float:
    """Bytes of the machine's memory; infinite where it does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return math.inf


def whole_key(message: str, config: DictConfig) -> str:
    """A message with the group's name before a key that it begins with.

    Args:
        message: begins with ``hidden=[0] must``, or with the value alone: ``-0.5 must``.
        config: what the object was built from.
    """
    match = re.match(r"(?:(\w+)=)?(.+?) (?:must|is not) ", message)
    if match is None:
        return message
    key, value = match.groups()
    found = [f"{group}.{name}" for group in GROUPS for name in _holds(config.get(group), key, value)]
    given = [name for name in found if any(text.startswith(f"{name}=") for text in config.get("overrides", ()))]
    whole = next(iter([*given, *found]), None)
    if whole is None:
        return message
    return f"{whole.partition('.')[0]}.{message}" if key else f"{whole}={message}"


def _holds(node: Any, key: str | None, value: str) -> list[str]:
    """The keys of a group that may be meant."""
    plain = OmegaConf.to_container(node) if OmegaConf.is_config(node) else {}
    named = {str(name): held for name, held in plain.items()}  # type: ignore[union-attr]
    return [name for name, held in named.items() if (key == name if key else str(held) == value)]


def _too_large(config: DictConfig, needs: str) -> str:
    given = (text.lstrip("+").partition("=")[0] for text in config.get("overrides", ()))
    keys = [*SIZES, *(key for key in given if "." in key and key.partition(".")[0] in GROUPS)]
    sizes = ((key, OmegaConf.select(config, key)) for key in dict.fromkeys(keys))
    shown = ", ".join(f"{key}={value}" for key, value in sizes if value is not None)
    return f"the model is too large ({shown}): it needs {needs}; choose smaller sizes"
