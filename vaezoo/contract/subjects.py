"""The small models, batches and trainers that the contract's tests use."""

import warnings
from functools import cache
from typing import Any

import hydra
import torch
from omegaconf import DictConfig, ListConfig
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import LambdaCallback
from torch import Tensor, nn

from vaezoo import registry
from vaezoo.batch import Batch
from vaezoo.build import build, latent_shape
from vaezoo.configs import compose
from vaezoo.data.datamodule import DataModule
from vaezoo.distributions import noise
from vaezoo.programme import Update
from vaezoo.shapes import Shapes
from vaezoo.terms import Terms
from vaezoo.variant import Variant

B = 6  # examples in a batch
DIGITS = ("dataset=digits", f"dataset.batch_size={B}", f"dataset.eval_batch_size={B}", "dataset.val_size=20")
SMALL = {"hidden": 16, "channels": 8, "components": 5}  # upper bounds of the options with these names
QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


@cache
def small(variant: str, *overrides: str) -> DictConfig:
    """The variant's default configuration on digits, with narrow networks."""
    return narrow(compose([f"variant={variant}", *DIGITS, *overrides]))


def narrow(config: DictConfig) -> DictConfig:
    """The configuration with the widths that `SMALL` bounds cut down, in place."""
    for group in registry.GROUPS:
        node = config[group]
        for name, bound in SMALL.items():
            value = node.get(name)
            if isinstance(value, ListConfig):
                node[name] = [min(bound, width) for width in value]
            elif value is not None:
                node[name] = min(bound, value)
    return config


def digits(variant: str) -> DataModule:
    """The digits as the variant's default configuration has them, set up."""
    data = hydra.utils.instantiate(small(variant).dataset)
    data.setup()
    return data


@cache
def shapes_of_digits(variant: str) -> Shapes:
    """What the digits and the default latent size fix."""
    return digits(variant).shapes(latent_shape(small(variant).latent))


@cache
def some(variant: str) -> Batch:
    """The first digits."""
    return digits(variant).split("train")[:B]


def made_up(shapes: Shapes) -> Batch:
    """A batch of noise that lives where the data do."""
    with noise.seeded(0):
        x = torch.rand(B, *shapes.event)
        y = torch.randint(shapes.classes, (B,)) if shapes.classes else None
    forms = {"binary": x.round(), "levels": (255 * x).round() / 255}
    return Batch(forms.get(shapes.support, x), y, torch.arange(B))


def doubled(batch: Batch) -> Batch:
    """The batch twice."""
    x, y, index = batch
    return Batch(torch.cat([x, x]), None if y is None else torch.cat([y, y]), torch.cat([index, index]))


def built(variant: str, config: DictConfig | None = None, shapes: Shapes | None = None, seed: int = 0) -> Variant:
    """A model as it is when training starts, in train mode."""
    x = some(variant).x if shapes is None else made_up(shapes).x
    with noise.seeded(seed), torch.no_grad():
        model = build(config or small(variant), shapes or shapes_of_digits(variant))
        model.start(x)
    return model


def fit(model: Variant, variant: str, *callbacks: LambdaCallback, **flags: Any) -> Trainer:
    """Trains for an epoch of two batches per stage, each followed by the validation of one batch."""
    settings = {"max_epochs": len(model.stages), "limit_train_batches": 2, "limit_val_batches": 1, **QUIET, **flags}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(
            accelerator="cpu",
            devices=1,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            use_distributed_sampler=False,
            inference_mode=False,
            callbacks=list(callbacks),
            **settings,
        )
        trainer.fit(model, datamodule=digits(variant))
    return trainer


def objectives(model: Variant, batch: Batch) -> dict[str, Terms]:
    """The report and the terms of every update, by name."""
    found: dict[str, Terms | None] = {"terms": model.terms(batch)}
    for stage in model.stages:
        found.update({f"{stage.name}, {update.name}": stage.terms(update, batch) for update in stage.updates})
    return {name: terms for name, terms in found.items() if terms is not None}


def state(model: Variant) -> dict[str, Tensor]:
    """A copy of every parameter and buffer, those that are not saved included."""
    return {name: tensor.detach().clone() for name, tensor in [*model.named_parameters(), *model.named_buffers()]}


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """Names of what is not bit-equal."""
    return {name for name in before if not torch.equal(before[name], after[name])}


def named_by(model: Variant, update: Update) -> set[str]:
    """Names of the parameters that an update names, and of the buffers of its modules."""
    buffers = [b for module in update.modules if isinstance(module, nn.Module) for b in module.buffers()]
    own = {id(tensor) for tensor in [*update.parameters, *buffers]}
    return {name for name, tensor in [*model.named_parameters(), *model.named_buffers()] if id(tensor) in own}


def depends(value: Tensor, on: Tensor) -> bool:
    """Whether ``on`` is in the graph of ``value``."""
    if not on.requires_grad:
        return False
    return torch.autograd.grad(value.sum(), on, retain_graph=True, allow_unused=True)[0] is not None


class Recorder:
    """A source of noise that remembers what it drew."""

    def __init__(self) -> None:
        self.draws: list[Tensor] = []

    def draw(self, kind: noise.Kind, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Draws and remembers."""
        self.draws.append(noise.DefaultGenerator().draw(kind, shape, dtype, device))
        return self.draws[-1]


class Twice:
    """A source of noise that gives a batch twice as large what each half would have got.

    Args:
        draws: what one half got.
    """

    def __init__(self, draws: list[Tensor]) -> None:
        self.draws = iter(draws)

    def draw(self, kind: noise.Kind, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
        """The next draw, along the dimension that is twice as large."""
        once = next(self.draws)
        for dim, (size, wanted) in enumerate(zip(once.shape, shape, strict=True)):
            if wanted != size:
                assert wanted == 2 * size, f"noise of shape {[*shape]} for a batch twice that of {[*once.shape]}"
                once = torch.cat([once, once], dim)
        return once
