"""The variant whose tensors are those of all members, stacked."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Real
from typing import Any

import torch
from pytorch_lightning.loggers import Logger
from torch import Tensor
from torch.func import stack_module_state

from vaezoo.batch import Batch
from vaezoo.ensemble.draws import MemberNoise, Unforeseen
from vaezoo.ensemble.meters import MemberMeters
from vaezoo.programme import Stage, Update
from vaezoo.schedules import Schedule
from vaezoo.terms import Terms
from vaezoo.variant import TRAINING, VALIDATION, Variant


class Ensemble(Variant):
    r"""M members of one class, trained as one model: every tensor that differs has a first dimension of members.

    A step minimises the sum of the members' losses. A member's parameters are in its own loss only and the optimizer
    works element by element, so that each member takes the step that it would take alone.

    Args:
        members: started, with equal architectures; their weights are copied.
        loggers: those of each member.
    """

    def __init__(self, members: Sequence[Variant], loggers: Sequence[Sequence[Logger]]) -> None:
        first = members[0]
        super().__init__(first.shapes, first.optimizer_options, first.seed)
        self.shared = len({member.seed for member in members}) == 1  # the same batches for all
        self.noise = MemberNoise([member.seed for member in members])
        self.meters: MemberMeters = MemberMeters(loggers)  # type: ignore[assignment]
        self.model = _stacked(members)
        self.numbers: Tensor
        self.register_buffer("numbers", torch.arange(len(members)), persistent=False)
        self._given = _differing(members)
        for place, (_, _, values) in enumerate(self._given):
            self.register_buffer(f"given_{place}", torch.tensor(values), persistent=False)
        alone = _tensors(first)
        self._names = [name for name, tensor in _tensors(self.model).items() if tensor.shape != alone[name].shape]

    def programme(self) -> Sequence[Stage]:
        """The members' only update, of the stacked parameters."""
        (stage,) = self.model.stages
        (update,) = stage.updates
        together = Update(update.name, self.terms, update.modules, update.repeats, update.optimizer)
        return [Stage(stage.name, [together])]

    def terms(self, batch: Batch) -> Terms:
        """The sum of the members' losses, ``[]``."""
        losses, _ = self.together(batch)
        return Terms(loss=losses.sum())

    def together(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and batch mean of each raw term of each member, ``[M]``.

        Args:
            batch: ``x [M, B, *event]``, or ``[B, *event]`` for all members.
        """
        slots = self._slots()
        tensors = [owner[name] for owner, name in slots[: len(self._names)]]
        tensors += [getattr(self, f"given_{place}") for place in range(len(self._given))]
        computation = (self.training, batch.x.shape)
        ready = self.noise.ahead(computation)
        own = None if self.shared or not self.training else 0
        dims = Batch(*(None if value is None else own for value in batch))  # type: ignore[arg-type]

        def one(number: Tensor, tensors: list[Tensor], ready: list[Tensor] | None, batch: Batch) -> Any:
            with self.noise.of(number, computation, ready), _swapped(slots, tensors):
                return self._objective(batch)

        try:
            return torch.vmap(one, in_dims=(0, 0, 0 if ready else None, dims))(self.numbers, tensors, ready, batch)
        except Unforeseen:
            self.noise.restart()
            return self.together(batch)

    def _objective(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """What one member minimises while it trains, else what it reports: loss and batch means of the raw terms."""
        (stage,) = self.model.stages
        terms = stage.terms(stage.updates[0], batch) if self.training else self.model.terms(batch)
        assert terms is not None
        return terms.loss, terms.means

    def _slots(self) -> list[tuple[dict[str, Any], str]]:
        """Where a module keeps what differs among the members: tensors, then numbers."""
        found: list[tuple[dict[str, Any], str]] = []
        for name in self._names:
            path, _, leaf = name.rpartition(".")
            owner = self.model.get_submodule(path)
            found.append((owner._parameters if leaf in owner._parameters else owner._buffers, leaf))
        return [*found, *((vars(self.model.get_submodule(path)), name) for path, name, _ in self._given)]

    def hand_back(self, members: Sequence[Variant]) -> None:
        """Gives each member its weights."""
        state = _tensors(self.model)
        for number, member in enumerate(members):
            for name, tensor in _tensors(member).items():
                tensor.data = (state[name][number] if name in self._names else state[name]).detach().clone()

    # -- what the base does for one model ---------------------------------------------------------------------------

    def on_fit_start(self) -> None:
        super().on_fit_start()
        for place, (_, _, values) in enumerate(self._given):  # anew, for the weights may be in double precision now
            getattr(self, f"given_{place}").copy_(torch.tensor(values, dtype=torch.float64))

    def _start(self) -> None:
        """Nothing: each member has been started before."""

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        super().on_train_batch_start(batch, batch_idx)
        self.noise.reseed(TRAINING, self.batches_seen)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        losses, means = self.together(batch)
        self.meters.trained(means, losses)
        return losses.sum()

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        if (clip := self.optimizer_options["clip"]) is not None:
            moved = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            clip_each(moved, clip)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.noise.reseed(VALIDATION, batch_idx)
        losses, means = self.together(batch)
        self.meters.validated(means, losses, len(batch.x))


def clip_each(gradients: Sequence[Tensor], largest: float) -> None:
    """Scales each member's gradient down to a norm of ``largest``, as torch's ``clip_grad_norm_`` does for one model.

    Args:
        gradients: ``[M, ...]`` each; changed in place.
        largest: norm over all tensors of one member, > 0.
    """
    norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients]).norm(dim=0)  # [M]
    scale = (largest / (norms + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(scale.view(-1, *(1,) * (gradient.ndim - 1)))


class _Schedules(Schedule):
    """The schedules of all members at one place of the model: ``value [M]``."""

    def __init__(self, each: Sequence[Schedule]) -> None:
        super().__init__(each[0].form, **each[0].arguments)
        self.each = tuple(each)
        self.value = torch.stack([schedule.value for schedule in each])

    def set(self, progress: float) -> None:
        self.value.copy_(torch.tensor([schedule.at(progress) for schedule in self.each], dtype=torch.float64))

    def forward(self) -> Tensor:
        """The present value of the member that is computed, ``[]``."""
        return self.value


@contextmanager
def _swapped(slots: Sequence[tuple[dict[str, Any], str]], values: Sequence[Tensor]) -> Iterator[None]:
    """Inside, the slots hold the values: ``torch.func.functional_call``, for numbers too, at a tenth of the time."""
    before = [owner[name] for owner, name in slots]
    try:
        for (owner, name), value in zip(slots, values, strict=True):
            owner[name] = value
        yield
    finally:
        for (owner, name), value in zip(slots, before, strict=True):
            owner[name] = value


def _stacked(members: Sequence[Variant]) -> Variant:
    """A copy of the first member with the parameters of all, and those buffers that differ."""
    model = copy.deepcopy(members[0])
    model._stages = []  # they hold the methods of the first member
    parameters, buffers = stack_module_state(list(members))
    for name, parameter in model.named_parameters():
        parameter.data = parameters[name].data
    for name, buffer in model.named_buffers():
        if any(not torch.equal(own, buffers[name][0]) for own in buffers[name]):
            buffer.data = buffers[name]
    for name, module in list(model.named_modules()):
        each: list[Any] = [member.get_submodule(name) for member in members]
        if isinstance(module, Schedule) and any(_form(own) != _form(module) for own in each):
            path, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(path), leaf, _Schedules(each))
    return model


def _form(schedule: Schedule) -> tuple[str, dict[str, float]]:
    return schedule.form, schedule.arguments


def _tensors(model: Variant) -> dict[str, Tensor]:
    """Parameters and buffers by name; tied ones have a name for each place."""
    named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    return dict(named)


def _differing(members: Sequence[Variant]) -> list[tuple[str, str, list[float]]]:
    """Numbers that a module of the members keeps as an attribute and that differ: (path, attribute, values)."""
    found = []
    for path, _ in members[0].named_modules():
        each = [vars(member.get_submodule(path)) for member in members]
        for name, value in each[0].items():
            number = isinstance(value, Real) and not isinstance(value, bool)
            if number and name != "seed" and any(own[name] != value for own in each):
                found.append((path, name, [float(own[name]) for own in each]))
    return found
