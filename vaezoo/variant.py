"""The training step that every variant shares."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from functools import cached_property
from typing import Any, ClassVar

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torchmetrics import Metric

from vaezoo import optimizers, players, resume
from vaezoo.batch import Batch
from vaezoo.distributions import noise
from vaezoo.errors import UsageError
from vaezoo.meters import Meters
from vaezoo.programme import Stage, Update, boundaries
from vaezoo.schedules import Schedule
from vaezoo.shapes import Shapes
from vaezoo.terms import Terms

TRAINING, VALIDATION, TEST = 0, 1, 2  # first key of the noise, so that the three never share a draw


class Variant(LightningModule, ABC):
    """A model that states its objective as terms and its order of training as a programme.

    If every stage has one update, Lightning optimises automatically and all of its Trainer flags work. With several
    players in a stage each update is a step of its own; gradients are then clipped through ``optimizer.clip``.

    Args:
        shapes: what the data and the latent size fix.
        optimizer: options of :func:`vaezoo.optimizers.options`.
        seed: seed of the noise of training and validation.
    """

    uses: ClassVar[tuple[str, ...]] = ()  # part groups that the variant reads

    def __init__(self, shapes: Shapes, optimizer: Mapping[str, Any] | None = None, seed: int = 0) -> None:
        super().__init__()
        self.shapes = shapes
        self.seed = seed
        self.optimizer_options = optimizers.options(optimizer)
        self.meters = Meters()
        self.stage_index = 0
        self._stages: list[Stage] = []
        self._due = False  # a batch has been trained whose state has not been updated

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning sets this one twice around every hook; Module's way of setting costs a tenth of a tiny step
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    @abstractmethod
    def terms(self, batch: Batch) -> Terms:
        """The report and, by default, the objective; in eval mode it changes no state."""

    def programme(self) -> Sequence[Stage]:
        """The order of training; by default one stage in which one update moves everything."""
        return [Stage("train", [Update("train", self.terms, [self])])]

    def start(self, x: Tensor) -> None:
        """Data-dependent initialisation, once before training: by default that of the parts that have a ``start``.

        Args:
            x: a fixed batch of training data, ``[N, *event]``; every process gets the same one.
        """
        for part in self.children():
            if hasattr(type(part), "start"):
                part.start(x)  # type: ignore[operator]

    def measures(self) -> dict[str, Metric]:
        """The variant's own measures by name, for evaluation: each one's ``update`` takes (model, batch)."""
        return {}

    @property
    def stages(self) -> list[Stage]:
        """The programme, asked for once."""
        if not self._stages:
            self._stages = list(self.programme())
        return self._stages

    @cached_property  # Lightning asks five times in a step
    def automatic_optimization(self) -> bool:  # type: ignore[override]
        """True if every stage has one update."""
        return all(len(stage.updates) == 1 for stage in self.stages)

    @property
    def stage(self) -> Stage:
        """The stage that training is in."""
        return self.stages[self.stage_index]

    @property
    def progress(self) -> float:
        """Batches seen / batches planned, in [0, 1]; 1 outside training. Derived from the trainer's loop state."""
        trainer = self._trainer
        if trainer is None or not trainer.training:
            return 1.0
        return min(1.0, self.batches_seen / max(1, self._planned_epochs() * trainer.num_training_batches))

    @property
    def batches_seen(self) -> int:
        """Batches trained before the present one, over all epochs."""
        return max(0, self.trainer.fit_loop.epoch_loop.batch_progress.total.ready - 1)

    @property
    def stage_progress(self) -> float:
        """Share of the present stage that has passed, in [0, 1]."""
        first, last = self._epochs[self.stage_index : self.stage_index + 2]
        n = self.trainer.num_training_batches
        return min(1.0, max(0.0, (self.batches_seen - first * n) / max(1, (last - first) * n)))

    # -- stages ----------------------------------------------------------------------------------------------------

    def on_fit_start(self) -> None:
        self._epochs = boundaries(self.stages, self._planned_epochs())
        self._schedules = [module for module in self.modules() if isinstance(module, Schedule)]
        # state that no gradient moves, e.g. running means: forward remembers the batch, move() follows the step
        self._moving: list[Any] = [module for module in self.modules() if hasattr(type(module), "move")]
        self._rate_moves = self.optimizer_options["schedule"] != "constant" or self.optimizer_options["warmup"] > 0
        self._ranks = ExitStack()
        self._ranks.enter_context(noise.ranks(self.trainer.global_rank, self.trainer.world_size))

    def configure_callbacks(self) -> list[Callback]:
        """No callback: this is where a Trainer's flags can be refused before Lightning looks at them."""
        self.check_trainer(self.trainer)
        return []

    def _planned_epochs(self) -> int:
        return self.trainer.max_epochs or 0

    def check_trainer(self, trainer: Trainer) -> None:
        """Refuses a Trainer that cannot train the variant.

        Raises:
            UsageError: its epochs are not given or fewer than the stages, or a flag does not work with several players.
        """
        if not trainer.max_epochs or trainer.max_epochs < 0:
            raise UsageError("trainer.max_epochs must be given: schedules and stages are shares of it")
        boundaries(self.stages, trainer.max_epochs)
        if self.automatic_optimization:
            return
        refused = {
            "gradient_clip_val": (trainer.gradient_clip_val, "optimizer.clip"),
            "accumulate_grad_batches": (trainer.accumulate_grad_batches > 1, "a larger dataset.batch_size"),
            "max_steps": (trainer.max_steps != -1, "trainer.max_epochs"),
        }
        for flag, (given, instead) in refused.items():
            if given:
                raise UsageError(
                    f"Trainer({flag}=...) does not work with the several players of {type(self).__name__}:"
                    f" use {instead}"
                )

    def on_fit_end(self) -> None:
        self._ranks.close()

    def on_train_start(self) -> None:
        if self.trainer.ckpt_path is None and self.trainer.current_epoch == 0:
            self._start()
        elif self.trainer.ckpt_path is not None:  # moments are the checkpoint's, options the configuration's
            for update, optimizer in zip(self.stage.updates, self.trainer.optimizers, strict=True):
                optimizers.configure(optimizer, self._options(update))
        self.meters.flushed = self.trainer.fit_loop.epoch_loop.batch_progress.total.ready
        self._freeze()

    def _start(self) -> None:
        data: Any = getattr(self.trainer, "datamodule", None)
        if hasattr(data, "split"):
            split = data.split("train")
            x = split[:: max(1, len(split) // 1000)].x
        else:
            x = next(iter(self.trainer.train_dataloader))[0]  # type: ignore[arg-type]
        model: Any = self.trainer.model  # under FSDP each process has a share of the weights
        whole = model.summon_full_params(model) if hasattr(model, "summon_full_params") else nullcontext()
        with torch.no_grad(), noise.seeded(self.seed), whole:
            self.start(x.to(self.device, self.dtype))
            if self.trainer.world_size > 1:
                for tensor in [*self.parameters(), *self.buffers()]:
                    torch.distributed.broadcast(tensor.data, src=0)

    def on_train_epoch_start(self) -> None:
        epoch = self.trainer.current_epoch
        index = max(k for k in range(len(self.stages)) if self._epochs[k] <= epoch)
        if index != self.stage_index:
            self.stage_index = index
            self.trainer.strategy.setup_optimizers(self.trainer)
            self._freeze()

    def _freeze(self) -> None:
        """Only what an update of the present stage names may move; the rest is frozen and in eval mode."""
        moved = {id(p) for update in self.stage.updates for p in update.parameters}
        for parameter in self.parameters():
            parameter.requires_grad_(id(parameter) in moved)
            parameter.grad = None
        self._frozen = [
            module
            for module in self.modules()
            if any(True for _ in module.parameters()) and not any(id(p) in moved for p in module.parameters())
        ]
        self.train(self.training)

    def train(self, mode: bool = True) -> "Variant":
        super().train(mode)
        for module in getattr(self, "_frozen", []):
            module.eval()
        return self

    # -- one batch -------------------------------------------------------------------------------------------------

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        self._due = True
        seen = self.batches_seen
        noise.reseed(TRAINING, self.seed, seen)
        if self._schedules:
            progress = self.progress
            for schedule in self._schedules:
                schedule.set(progress)
        if self._rate_moves:
            for update, optimizer in zip(self.stage.updates, self.trainer.optimizers, strict=True):
                chosen = self._options(update)
                for group in optimizer.param_groups:
                    group["lr"] = optimizers.learning_rate(chosen, self.stage_progress)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        if self.automatic_optimization:
            terms = self.stage.terms(self.stage.updates[0], batch)
            if terms is None:
                return None
            loss = terms.loss
            self.meters.train(terms, loss)
            return loss
        players.play(self, batch)
        return None

    # Lightning asks for the arguments before every step; to find them anew shows in the profile of a tiny one
    training_step.__signature__ = inspect.signature(training_step)  # type: ignore[attr-defined]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        clip = self.optimizer_options["clip"]
        if clip is None:
            return
        if sharded := getattr(self.trainer.model, "clip_grad_norm_", None):
            sharded(clip)  # the norm over all shares
        else:
            moved = [p for group in optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(moved, clip, foreach=False)

    def configure_gradient_clipping(
        self, optimizer: torch.optim.Optimizer, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        if gradient_clip_val:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: torch.optim.Optimizer) -> None:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def update_state(self) -> None:
        """Moves the state that no gradient moves, once for each batch: at its end, or before what saves it earlier."""
        if self._due:
            self._due = False
            for module in self._moving:
                if module.training:
                    module.move()

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        self.update_state()
        if (batch_idx + 1) % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self.meters.flush(self)

    def on_train_epoch_end(self) -> None:
        self.meters.flush(self)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._held_out(batch, VALIDATION, batch_idx)

    def on_validation_epoch_start(self) -> None:
        for schedule in self.modules():
            if isinstance(schedule, Schedule):
                schedule.set(1.0)

    def on_validation_epoch_end(self) -> None:
        self.meters.report(self, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._held_out(batch, TEST, batch_idx)

    def _held_out(self, batch: Batch, split: int, batch_idx: int) -> None:
        noise.reseed(split, self.seed, batch_idx)
        rank, world = self.trainer.global_rank, self.trainer.world_size
        sizes = torch.zeros(world, dtype=torch.long, device=self.device)
        sizes[rank] = len(batch.x)
        if world > 1:  # they may differ by one
            torch.distributed.all_reduce(sizes)
        with noise.ranks(rank, world, sizes.tolist() if world > 1 else None):
            self.meters.held_out(self.terms(batch), len(batch.x))

    on_test_epoch_start = on_validation_epoch_start

    def on_test_epoch_end(self) -> None:
        self.meters.report(self, "test")

    # -- optimizers and checkpoints --------------------------------------------------------------------------------

    def configure_optimizers(self) -> OptimizerLRScheduler:
        return [optimizers.make(update.parameters, self._options(update)) for update in self.stage.updates]

    def _options(self, update: Update) -> dict[str, Any]:
        taken = optimizers.arguments(self.optimizer_options["name"])
        own = {key: v for key, v in update.optimizer.items() if key in taken or key not in optimizers.CONSTRUCTED}
        return optimizers.options({**self.optimizer_options, **own})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.meters.flush(self)
        checkpoint["stage"] = self.stage_index

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.stage_index = checkpoint["stage"]
        resume.canonical(checkpoint)
