"""Networks written by users, checked by one dry run and given the interface of ours."""

import inspect
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from vaezoo.errors import UsageError
from vaezoo.shapes import Shapes

Role = Literal["encoder", "decoder"]


class Adapted(nn.Module):
    """A network of the user's with ``features`` and ``forward(x, c=None)``.

    Args:
        network: maps x ``[N, *event]`` (encoder) or z ``[N, *latent]`` (decoder), and c where there is a condition,
            to features.
        shapes: sizes of the data, the latent and the condition.
        role: what the network serves as.
        name: name of the network in messages.

    Raises:
        UsageError: the network does not take the condition, fails on a small batch, or gives another shape than
            ``[N, F]`` or, for grid latents, ``[N, F, h, w]`` (encoder), ``[N, F]`` or ``[N, C, H, W]`` (decoder).
    """

    def __init__(self, network: nn.Module, shapes: Shapes, role: Role, name: str = "") -> None:
        super().__init__()
        self.network = network
        self.features = dry_run(network, shapes, role, f"{role} {name or type(network).__name__}")

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Maps x or z, and c where there is one, to features."""
        return self.network(x) if c is None else self.network(x, c)


def adapt(network: nn.Module | Callable[[Shapes], nn.Module], shapes: Shapes, role: Role) -> nn.Module:
    """A module with a tuple ``features`` and ``forward(x, c=None)``: the given one if it has them, else adapted.

    Args:
        network: a module, or a factory that builds one from shapes.
        shapes: sizes of the data, the latent and the condition.
        role: what the network serves as.

    Raises:
        UsageError: it is neither a module nor a factory of one, or it fails the checks of `Adapted`.
    """
    module = network if isinstance(network, nn.Module) else network(shapes) if callable(network) else None
    if not isinstance(module, nn.Module):
        raise UsageError(f"{role}={network!r} is neither a torch module nor a function that builds one from shapes")
    ready = isinstance(getattr(module, "features", None), tuple)
    if ready and "c" in inspect.signature(module.forward).parameters:
        return module
    return Adapted(module, shapes, role)


@torch.no_grad()
def dry_run(network: nn.Module, shapes: Shapes, role: Role, name: str) -> tuple[int, ...]:
    """The shape of a network's features for one example, found on a batch of two in evaluation mode."""
    like = next(network.parameters(), torch.empty(0))
    inputs = [torch.zeros(2, *(shapes.event if role == "encoder" else shapes.latent)).to(like)]
    if shapes.condition:
        inputs.append(torch.zeros(2, *shapes.condition).to(like))
    given = " and ".join(str([*tensor.shape]) for tensor in inputs)
    if not accepts(network, inputs):
        call = "forward(x, c), because there is a condition," if shapes.condition else "forward(x)"
        raise UsageError(f"{name} must accept {call} with inputs {given}; its forward does not")
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        features = network(*inputs)
    except Exception as error:
        raise UsageError(f"{name} fails on an input {given}: {reason(error)}") from error
    finally:
        for module, training in modes:
            module.training = training
    expected, fits = expectation(shapes, role)
    if not isinstance(features, Tensor):
        raise UsageError(f"{name} gives a {type(features).__name__} for an input {given}; expected a tensor {expected}")
    if features.shape[:1] != (2,) or not fits(tuple(features.shape[1:])):
        raise UsageError(f"{name} gives {[*features.shape]} for an input {given}; expected {expected}")
    return tuple(features.shape[1:])


def accepts(network: nn.Module, inputs: list[Tensor]) -> bool:
    """Whether the inputs can be passed to ``forward`` by position."""
    try:
        inspect.signature(network.forward).bind(*inputs)
    except TypeError:
        return False
    return True


def expectation(shapes: Shapes, role: Role) -> tuple[str, Callable[[tuple[int, ...]], bool]]:
    """What the features of a batch of two must look like, in words and as a test on their shape for one example."""
    if role == "encoder" and len(shapes.latent) == 3:
        grid = shapes.latent[1:]
        return f"[2, F, {grid[0]}, {grid[1]}]", lambda shape: len(shape) == 3 and shape[1:] == grid
    if role == "decoder" and len(shapes.event) == 3:
        size = shapes.event[1:]
        text = f"[2, F] or [2, C, {size[0]}, {size[1]}]"
        return text, lambda shape: len(shape) == 1 or (len(shape) == 3 and shape[1:] == size)
    return "[2, F]", lambda shape: len(shape) == 1


def reason(error: Exception) -> str:
    """The kind of an error and the first line of its message."""
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])
