"""Finite differences of the terms of an objective, for tests of its derivatives."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vaezoo.distributions import noise

STEPS = tuple(1e-3 / 8**k for k in range(6))  # each perturbs every value by about as much
AGREE = 1e-8  # doubt, relative, below which no smaller step is tried: two steps' difference and the rounding
FLOOR = 1e-3  # nats per unit
Function = Callable[[], Mapping[str, Tensor]]


class Rounded:
    """Noise that is the same number in single and in double precision."""

    def draw(self, kind: noise.Kind, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Draws of single precision."""
        return noise.DefaultGenerator().draw(kind, shape, torch.float32, device).to(dtype)


@contextmanager
def fixed_noise() -> Iterator[None]:
    """Inside, the same draws come again, whatever the precision."""
    with noise.seeded(0), noise.source(Rounded()):
        yield


class Held:
    """``Tensor.detach`` that gives in each later pass what it gave in the first one.

    The function that is then computed has the stop-gradients of the first pass as constants: its derivative is, by
    definition, what a gradient through stop-gradients is.
    """

    def __init__(self) -> None:
        self.values: list[Tensor] = []
        self.at: int | None = None  # None while the first pass is recorded

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """One pass."""
        detach, recording = Tensor.detach, self.at is None
        self.at = 0

        def held(tensor: Tensor) -> Tensor:
            if recording:
                self.values.append(detach(tensor).clone())
                return detach(tensor)
            assert self.at is not None
            self.at += 1
            return self.values[self.at - 1]

        Tensor.detach = held  # type: ignore[method-assign]
        try:
            yield
        finally:
            Tensor.detach = detach  # type: ignore[method-assign]


class Difference(NamedTuple):
    """A derivative along a direction: of autograd, by finite differences, and how far apart they are."""

    gradient: float
    difference: float
    error: float  # relative to the derivative, or to what it is along a typical direction, or to the floor


def differences(
    function: Function, inputs: Sequence[Tensor], seed: int = 0, floor: float = FLOOR
) -> dict[str, Difference]:
    """Compares the derivative of the mean of each value along one random direction.

    The differences are of fourth order, at steps that shrink until two agree; which of them counts is decided without
    a look at the gradient. Values that need no gradient must not change at all.

    Args:
        function: the values by name, a pure function of the inputs.
        inputs: leaves, in double precision.
        seed: of the direction, whose entries are N(0, 1).
        floor: a derivative below this, per unit, is compared absolutely: the rounding of the values is what is left.

    Returns:
        One :class:`Difference` for each value.
    """
    values = {name: value.mean() for name, value in function().items()}
    direction = directions(inputs, seed)
    slopes, typical = {}, {}
    for name, value in values.items():
        assert value.dtype == torch.float64, f"{name} is {value.dtype} in a double model"
        found = [torch.zeros_like(each) for each in inputs]
        if value.requires_grad:
            found = torch.autograd.grad(value, inputs, retain_graph=True, allow_unused=True, materialize_grads=True)
        slopes[name] = sum((g * v).sum().item() for g, v in zip(found, direction, strict=True))
        typical[name] = sum(g.square().sum().item() for g in found) ** 0.5
    names = list(values)
    best = estimates(function, inputs, direction, names)
    result = {}
    for name, difference in zip(names, best, strict=True):
        scale = max(abs(difference), typical[name], floor)
        result[name] = Difference(slopes[name], difference, abs(slopes[name] - difference) / scale)
    return result


def directions(inputs: Sequence[Tensor], seed: int) -> list[Tensor]:
    """A random direction."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(each.shape, dtype=each.dtype, generator=generator) for each in inputs]


@torch.no_grad()
def estimates(
    function: Function, inputs: Sequence[Tensor], direction: Sequence[Tensor], names: Sequence[str]
) -> list[float]:
    """The derivative of each value by finite differences, at the steps that agree best."""
    start = [each.clone() for each in inputs]

    def at(step: float) -> Tensor:
        for each, origin, along in zip(inputs, start, direction, strict=True):
            each.copy_(origin + step * along)
        values = function()
        return torch.stack([values[name].detach().mean() for name in names])

    rounding, found = torch.finfo(torch.float64).eps * at(0.0).abs(), []
    for h in STEPS:
        found.append((8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h))
        if len(found) > 1 and (doubt(found, rounding)[-1] <= AGREE).all():
            break
    for each, origin in zip(inputs, start, strict=True):
        each.copy_(origin)
    best = 1 + doubt(found, rounding).nan_to_num(torch.inf).argmin(0, keepdim=True)
    return torch.stack(found).gather(0, best).squeeze(0).tolist()


def doubt(found: Sequence[Tensor], rounding: Tensor) -> Tensor:
    """How far each estimate but the first may be off, relative: its distance from the one before, and the rounding."""
    table, steps = torch.stack(list(found)), torch.tensor(STEPS[1 : len(found)], dtype=torch.float64).unsqueeze(1)
    return (table.diff(dim=0).abs() + rounding / steps) / table[1:].abs().clamp(min=FLOOR)


@contextmanager
def unmoved(*modules: nn.Module) -> Iterator[None]:
    """Inside, buffers may move; afterwards they are what they were."""
    before = [(buffer, buffer.clone()) for module in modules for buffer in module.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)
