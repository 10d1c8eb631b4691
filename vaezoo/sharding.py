"""Training whose weights, gradients and optimizer state are shared out among the processes (FSDP)."""

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.strategies import FSDPStrategy
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel

from vaezoo.errors import UsageError
from vaezoo.variant import Variant


class Sharded(FSDPStrategy):
    """Lightning's FSDP with the whole model as one unit, since the parts of our models call one another freely.

    Between steps each process holds its share; a step gathers the weights. Parameters that are single numbers cannot be
    shared out: every process keeps them, with the mean of the gradients.
    """

    def __init__(self) -> None:
        super().__init__(state_dict_type="full")

    def _setup_model(self, model: nn.Module) -> nn.Module:
        single = [parameter for parameter in model.parameters() if parameter.ndim == 0]
        for parameter in single:
            parameter.data = parameter.data.to(self.root_device)
            parameter.register_post_accumulate_grad_hook(_average)
        return FullyShardedDataParallel(
            model,
            device_id=self.root_device,
            mixed_precision=self.mixed_precision_config,
            sharding_strategy=self.sharding_strategy,
            ignored_states=single,
            use_orig_params=True,
        )


class Unsharded(Callback):
    """Makes the model an ordinary one, whole on every process, when training ends: to be saved, drawn and measured."""

    _done = False

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._done = True
        with FullyShardedDataParallel.summon_full_params(trainer.model):  # type: ignore[arg-type]
            kept = {name: parameter.detach().clone() for name, parameter in pl_module.named_parameters()}
        for name, value in kept.items():
            place, _, last = name.rpartition(".")
            setattr(pl_module.get_submodule(place), last, nn.Parameter(value))

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._done:  # a run that is continued after its last epoch does not train
            self.on_train_end(trainer, pl_module)


def sharded(model: Variant) -> Sharded:
    """The strategy for a model.

    Raises:
        UsageError: the model does not move all of its parameters in every step.
    """
    everything = {id(parameter) for parameter in model.parameters()}
    moved = [{id(p) for p in update.parameters} for stage in model.stages for update in stage.updates]
    if moved != [everything]:
        name = type(model).__name__
        raise UsageError(f"hardware.strategy=fsdp needs one update of all parameters, which {name} has not: use ddp")
    return Sharded()


def _average(parameter: Tensor) -> None:
    assert parameter.grad is not None
    parameter.grad /= torch.distributed.get_world_size()
    torch.distributed.all_reduce(parameter.grad)
