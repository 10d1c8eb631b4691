"""Finite differences of the terms of an objective, for tests of its derivatives, and what is none by design."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vaezoo.distributions import noise

STEPS = tuple(1e-3 / 8**k for k in range(6))  # each perturbs every value by about as much
AGREE = 1e-8  # doubt, relative, below which no smaller step is tried: two steps' difference and the rounding
FLOOR = 1e-3  # nats per unit
LARGEST = 1e-6  # relative error of a derivative in double precision
BF16 = 0.05  # of a gradient under bfloat16 autocast, whose numbers are rounded by up to 2^-8, layer after layer
Function = Callable[[], Mapping[str, Tensor]]


class Declared(NamedTuple):
    """Why a gradient is not the derivative of what is computed, and the test of what it is instead.

    Args:
        why: what is done by design.
        identity: the test, ``file::name``.
        parts: children of a variant whose gradient it is; none for all of them.
    """

    why: str
    identity: str
    parts: tuple[str, ...] = ()


HERE, PARTS = "tests/test_derivatives.py::", "tests/test_derivatives_of_parts.py::"
HELD = HERE + "test_gradient_is_the_derivative_with_stop_gradients_held"
CODES = Declared(
    "the decoder's gradient passes a code as if it was its vector; each penalty stops one of the two", HELD
)
HARD = Declared("one-hot rows with the gradient of relaxed ones", HELD)
DECLARED = {
    **{("variant", name): CODES for name in ("vq_vae", "vq_vae_2", "residual_vq_vae", "product_vq_vae")},
    **{("variant", name): CODES for name in ("fsq_vae", "lfq_vae")},
    **{("posterior", name): CODES for name in ("vq", "residual_vq", "product_vq", "fsq", "lfq")},
    ("posterior", "gumbel, straight_through"): HARD,
    ("posterior", "von_mises_fisher"): Declared(
        "a tangent follows the mean direction by parallel transport: the gradient is that of the mean over tangents",
        PARTS + "test_sample_on_the_sphere_has_the_derivative_of_its_mean_over_tangents",
    ),
    ("variant", "dreg_iwae"): Declared(
        "another unbiased estimate of the gradient of the bound, for the encoder",
        HERE + "test_dreg_gradient_is_the_sum_of_its_definition",
        ("encoder", "posterior"),
    ),
    ("expectation", "dreg_iwae"): Declared(
        "the same, by quadrature over the noise",
        "tests/test_importance.py::test_dreg_gradient_is_that_of_the_bound_in_expectation",
    ),
    ("option", "rae, regulariser=spectral"): Declared(
        "power iteration: the singular vectors of a step are constants",
        HERE + "test_power_iteration_gives_the_derivative_once_it_has_converged",
    ),
    ("option", "gaussian, scale=optimal"): Declared(
        "s* is a constant of a step, which the envelope theorem allows",
        "tests/test_likelihoods.py::test_optimal_std_obeys_the_envelope_theorem",
    ),
    ("state", "running codebooks, the multiplier of GECO, the held scale"): Declared(
        "buffers that follow the step", HERE + "test_state_that_follows_a_step_is_moved_by_no_gradient"
    ),
    ("players", "critics and what they judge"): Declared(
        "a loss moves its own player, of whose parameters its gradient is the derivative",
        "vaezoo/contract/test_contract.py::test_each_update_moves_only_its_own_modules",
    ),
    ("sample", "distributions without rsample"): Declared(
        "a draw that chooses carries no gradient",
        PARTS + "test_samples_that_are_not_reparameterised_carry_no_gradient",
    ),
    ("estimator", "sliced_wasserstein where all codes are equal"): Declared(
        "sorting has no derivative at ties; codes that move together have",
        PARTS + "test_equal_codes_that_move_together",
    ),
}


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


def within(found: Mapping[str, Difference]) -> None:
    """Fails where a derivative is further off than allowed, or where there is none."""
    wrong = {name: difference for name, difference in found.items() if not difference.error <= LARGEST}
    assert found and not wrong, f"not the derivative: {wrong}"


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
