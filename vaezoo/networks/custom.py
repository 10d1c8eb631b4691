"""A user's own network, named by an import path or a file."""

import importlib
import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from torch import nn

from vaezoo.errors import UsageError, near
from vaezoo.networks.adapt import Adapted, Role, reason
from vaezoo.shapes import Shapes


class Encoder(Adapted):
    """The network that ``target(**args)`` builds, checked on a small batch.

    Its ``forward(x)``, or ``forward(x, c)`` where there is a condition, gives ``[N, F]`` or, for grid latents,
    ``[N, F, h, w]``.

    Args:
        shapes: sizes of the data, the latent and the condition; also passed to a target with an argument ``shapes``.
        target: a class or function, as ``package.module.Net`` or ``path/to/file.py:Net``.
        args: its keyword arguments.

    Raises:
        UsageError: the target cannot be imported or built, or it does not give features of the right shape.
    """

    def __init__(self, shapes: Shapes, target: str = "", args: dict[str, Any] | None = None) -> None:
        super().__init__(build("encoder", shapes, target, args or {}), shapes, "encoder", target)


class Decoder(Adapted):
    """The network that ``target(**args)`` builds, checked on a small batch.

    Its ``forward(z)``, or ``forward(z, c)`` where there is a condition, gives ``[N, F]`` or, for pictures,
    ``[N, C, H, W]`` as high and wide as the event.

    Args:
        shapes: sizes of the data, the latent and the condition; also passed to a target with an argument ``shapes``.
        target: a class or function, as ``package.module.Net`` or ``path/to/file.py:Net``.
        args: its keyword arguments.

    Raises:
        UsageError: the target cannot be imported or built, or it does not give features of the right shape.
    """

    def __init__(self, shapes: Shapes, target: str = "", args: dict[str, Any] | None = None) -> None:
        super().__init__(build("decoder", shapes, target, args or {}), shapes, "decoder", target)


def build(role: Role, shapes: Shapes, target: str, args: dict[str, Any]) -> nn.Module:
    """The module that the target builds.

    Raises:
        UsageError: the target cannot be imported, its arguments do not match, or it builds no torch module.
    """
    name = f"{role}.target={target!r}"
    make = load(name, target)
    if isinstance(args, DictConfig):
        args = cast(dict[str, Any], OmegaConf.to_container(args, resolve=True))  # torch wants lists, not ListConfigs
    try:
        signature = inspect.signature(make)
        arguments = {"shapes": shapes, **args} if "shapes" in signature.parameters else dict(args)
        signature.bind(**arguments)
    except TypeError as error:
        raise UsageError(f"{name} does not take {role}.args={args}: {error}") from error
    try:
        network = make(**arguments)
    except Exception as error:
        raise UsageError(f"{name} fails with {role}.args={args}: {reason(error)}") from error
    if not isinstance(network, nn.Module):
        raise UsageError(f"{name} builds a {type(network).__name__}; expected a torch.nn.Module")
    return network


def load(name: str, target: str) -> Callable[..., Any]:
    """The class or function that the target names.

    Raises:
        UsageError: there is none.
    """
    separator = ":" if ":" in target else "."
    place, _, attribute = target.rpartition(separator)
    if not (place and attribute):
        raise UsageError(f"{name} must be package.module.Net or path/to/file.py:Net")
    try:
        module = from_file(place) if separator == ":" else importlib.import_module(place)
    except Exception as error:
        raise UsageError(f"{name} cannot be imported: {reason(error)}") from error
    found = getattr(module, attribute, None)
    if not callable(found):
        raise UsageError(f"{name} names no class or function {attribute!r}{near(attribute, vars(module))}")
    return found


def from_file(file: str) -> ModuleType:
    """The module that a Python file defines; run anew at each call."""
    path = Path(file).expanduser().resolve()
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
