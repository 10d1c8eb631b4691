"""What a model reconstructs, dreams and encodes, as pictures."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from vaezoo.batch import Batch
from vaezoo.callbacks.draw import Picture, grid, scatter
from vaezoo.callbacks.hooks import quiet
from vaezoo.callbacks.loggers import log_pictures
from vaezoo.data.datamodule import DataModule
from vaezoo.distributions import noise
from vaezoo.distributions.kl import closed_form
from vaezoo.evaluate.mode import evaluating, on_device
from vaezoo.files import atomic
from vaezoo.interruption import Interrupted
from vaezoo.variant import Variant
from vaezoo.variational import Variational

PICTURES = 4  # first key of the noise
CODES = 1000  # examples whose codes are looked at
ROWS, STEPS, REACH = 10, 11, 2.5  # of a traversal: dimensions, pictures in each, standard deviations either way


class Skipped(Exception):
    """A picture that this model or these data do not have; the message says why."""


def reconstructions(model: Any, batch: Batch, columns: int = 10, pairs: int = 4) -> Picture:
    """Pairs of rows: data above, the mean of p(x|z) at the posterior mean below.

    Raises:
        Skipped: the data are no pictures.
    """
    _check_pictures(model)
    columns = min(columns, len(batch.x))
    both = torch.stack([batch.x, model.reconstruct(batch.x, _condition(model, batch))])  # [2, N, C, H, W]
    rows = [both[:, start : start + columns].flatten(0, 1) for start in range(0, len(batch.x), columns)]
    return grid(torch.cat([row for row in rows[:pairs] if len(row) == 2 * columns]), columns, model.shapes.range)


def samples(model: Any, batch: Batch, columns: int = 8) -> Picture:
    """Means of p(x|z) for 8 rows of draws of the prior; a conditional model has one column per class.

    The first row shows the conditions themselves where they are pictures.

    Raises:
        Skipped: there is no prior, or the data are no pictures.
    """
    _check_pictures(model)
    if not isinstance(model, Variational):
        raise Skipped("a deterministic autoencoder has no prior to sample from")
    c = conditions(model, batch)
    if c is None:
        return grid(model.sample(columns**2), columns, model.shapes.range)
    drawn = model.sample(columns * len(c), c.repeat(columns, *(1,) * (c.ndim - 1)))
    shown = [c, drawn] if c.shape[1:] == drawn.shape[1:] else [drawn]
    return grid(torch.cat(shown), len(c), model.shapes.range)


def conditions(model: Any, batch: Batch, most: int = 10) -> Tensor | None:
    """One condition per class in the order of the classes, else the first 8 of the batch, ``[n, *condition]``.

    Args:
        model: any variant; None for an unconditional one.
        batch: examples to take conditions from.
        most: the number of classes that are shown at most.
    """
    c = _condition(model, batch)
    if c is None or batch.y is None or batch.y.is_floating_point():
        return c if c is None else c[:8]
    labels = batch.y.tolist()
    first = [labels.index(label) for label in sorted(set(labels) - {-1})[:most]]
    return c[first] if first else c[:8]


def traversals(model: Any, batch: Batch) -> Picture:
    r"""One row per latent dimension, which goes from -2.5 to 2.5 standard deviations while the others stay.

    The others stay at the code of the first example. Mean and standard deviation are those of the codes of the whole
    batch (their own spread and that of each posterior). The dimensions with the largest rate come first, where it is
    a sum over dimensions, otherwise those whose codes vary most.

    One-hot latents have one row per choice instead, which takes each of its K values.

    Raises:
        Skipped: the latent is a grid, or lives neither in R^d nor on one-hot rows, or the data are no pictures.
    """
    _check_pictures(model)
    support = getattr(getattr(model, "posterior", None), "support", "real")
    if support == "one-hot":
        return _flips(model, batch)
    if len(model.shapes.latent) != 1:
        raise Skipped(f"a latent of shape {model.shapes.latent} has no single dimensions to walk along")
    if support != "real":
        raise Skipped(f"the latent lives on {support}, where there are no straight lines to walk along")
    c = _condition(model, batch)
    codes, spread, importance = _codes(model, batch.x, c)
    deviation = (codes.var(0) + spread).sqrt()
    order = importance.argsort(descending=True)[:ROWS]
    steps = torch.linspace(-REACH, REACH, STEPS).to(codes)
    z = codes[:1].repeat(len(order), STEPS, 1)  # [rows, steps, d]
    for row, dimension in enumerate(order.tolist()):
        z[row, :, dimension] = codes[:, dimension].mean() + steps * deviation[dimension]
    z = z.flatten(0, 1)
    c = None if c is None else c[:1].expand(len(z), *c.shape[1:])
    return grid(model.decode(z, c).mean, STEPS, model.shapes.range)


def _flips(model: Any, batch: Batch) -> Picture:
    """One row per choice, those with the largest rate first; the others stay at the first example's likeliest."""
    c = _condition(model, batch)
    q = model.q(batch.x, c)
    form = closed_form(q, model.p(c))
    importance = form.function(q, model.p(c)).sum(-1).mean(0) if form and form.per_dim else q.mean.var(0).sum(-1)
    order, values = importance.argsort(descending=True)[:ROWS], q.event_shape[-1]
    z = q.mode[:1].repeat(len(order), values, 1, 1)  # [rows, K, n, K]
    for row, choice in enumerate(order.tolist()):
        z[row, :, choice] = torch.eye(values, dtype=z.dtype, device=z.device)
    z = z.flatten(0, 1)
    c = None if c is None else c[:1].expand(len(z), *c.shape[1:])
    return grid(model.decode(z, c).mean, values, model.shapes.range)


def latent(model: Any, batch: Batch, names: Sequence[str] | None = None) -> Picture:
    """Codes of the batch in the plane, coloured by label; ``names`` are those of the classes.

    Raises:
        Skipped: the latent is not two-dimensional.
    """
    if not hasattr(model, "encode"):
        raise Skipped("there is no code")
    if model.shapes.latent != (2,):
        raise Skipped(f"the latent has shape {model.shapes.latent}; only (2,) can be drawn in the plane")
    y = batch.y if batch.y is not None and batch.y.ndim == 1 and not batch.y.is_floating_point() else None
    return scatter(model.encode(batch.x, _condition(model, batch)), y, names=names)


def write_pictures(model: Variant, datamodule: DataModule, folder: Path, split: str = "test") -> dict[str, Any]:
    """Draws everything there is to draw and writes ``folder/NAME.png``, each file whole or not at all.

    Args:
        model: any variant; comes back as it was.
        datamodule: after ``setup``.
        folder: where the files go.
        split: the split whose first examples are drawn.

    Returns:
        dict: For each of reconstructions, samples, traversals and latent the picture, uint8 ``[H, W, 3]``, or the
        reason (str) why there is none; a picture that raised an error is a warning as well.
    """
    drawn: dict[str, Any] = {}
    with evaluating(model):
        batch = on_device(datamodule.split(split)[:CODES], model)
        pictures = {
            "reconstructions": lambda: reconstructions(model, batch),
            "samples": lambda: samples(model, batch),
            "traversals": lambda: traversals(model, batch),
            "latent": lambda: latent(model, batch, datamodule.label_names),
        }
        for name, picture in pictures.items():
            try:
                with noise.seeded(PICTURES):
                    drawn[name] = picture()
            except Skipped as reason:
                drawn[name] = str(reason)
                continue
            except Interrupted:
                raise
            except Exception as error:  # whatever it is, it must not cost the run
                drawn[name] = f"{type(error).__name__}: {error}"
                print(f"warning: picture {name} cannot be drawn ({drawn[name]})", file=sys.stderr)
                continue
            with atomic(folder / f"{name}.png") as draft:
                Image.fromarray(drawn[name]).save(draft)
    return drawn


@quiet
class Pictures(Callback):
    """Writes the pictures of a run while it trains, and hands them to the loggers; its end is not drawn here.

    Args:
        folder: where the files go.
        every_n_epochs: draw after every this many epochs, >= 1.
    """

    def __init__(self, folder: Path, every_n_epochs: int) -> None:
        self.folder, self.every_n_epochs = folder, every_n_epochs

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        last = epoch == trainer.max_epochs or trainer.should_stop
        if epoch % self.every_n_epochs == 0 and not last:
            self._draw(trainer, pl_module, epoch)

    def _draw(self, trainer: Trainer, model: LightningModule, epoch: int) -> None:
        datamodule = getattr(trainer, "datamodule", None)
        if not trainer.is_global_zero or not isinstance(model, Variant) or datamodule is None:
            return
        log_pictures(trainer.loggers, write_pictures(model, datamodule, self.folder), epoch, model.batches_seen + 1)


def _codes(model: Any, x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Codes ``[N, d]``, the mean variance of their posteriors ``[d]`` and the importance of each dimension ``[d]``."""
    if not hasattr(model, "q"):
        codes = model.encode(x, c)
        return codes, torch.zeros_like(codes[0]), codes.var(0)
    q = model.q(x, c)
    spread = q.stddev.square().mean(0)
    if isinstance(model, Variational) and c is None and (form := closed_form(q, model.p())) and form.per_dim:
        return q.mean, spread, form.function(q, model.p()).mean(0)
    return q.mean, spread, q.mean.var(0)


def _condition(model: Any, batch: Batch) -> Tensor | None:
    return model.condition(batch) if hasattr(model, "condition") else None


def _check_pictures(model: Variant) -> None:
    if not hasattr(model, "reconstruct"):
        raise Skipped("there is no decoder, so nothing is drawn")
    event = model.shapes.event
    if len(event) != 3:
        raise Skipped(f"examples of shape {event} are no pictures")
    if event[0] not in (1, 3):
        raise Skipped(f"pictures of {event[0]} channels have no colours; 1 and 3 have")
