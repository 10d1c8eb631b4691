"""A sampler by its name, fitted to a model."""

import importlib
from typing import Any

import torch
from torch import Tensor

from vaezoo import samplers
from vaezoo.data.datamodule import DataModule
from vaezoo.distributions import noise
from vaezoo.errors import UsageError, near
from vaezoo.evaluate.mode import evaluating
from vaezoo.samplers.codes import Codes, Sampler
from vaezoo.variant import Variant
from vaezoo.variational import Variational

SAMPLING = 5  # first key of the noise, apart from those of training, evaluation and pictures
AT_ONCE = 500  # latents decoded at once


def fit(name: str, model: Variant, datamodule: DataModule, seed: int = 0, **options: Any) -> Sampler:
    """A function that gives n latents, for ``model.sample(n, sampler=...)``.

    Fitting is a function of the seed; draws come from the one source of noise, so wrap them in ``noise.seeded``.

    Args:
        name: a file of this folder: ``prior``, ``mixture``, ``flow``, ``two_stage`` or ``aggregate``.
        model: any variant; comes back as it was.
        datamodule: after ``setup``; the sampler is fitted to the codes of the training examples.
        seed: seed of the fit.
        options: arguments of the sampler's own ``fit``.

    Raises:
        UsageError: the sampler is unknown, or the model has no codes of its kind.
    """
    check(name, model)
    module = importlib.import_module(f"vaezoo.samplers.{name}")
    with evaluating(model), noise.seeded(SAMPLING, seed):
        return module.fit(Codes(model, datamodule.split("train"), name), seed, **options)


def check(name: str, model: Any) -> None:
    """Raises UsageError if the sampler is unknown or cannot serve the model."""
    known = samplers.names()
    if name not in known:
        raise UsageError(f"sampler={name} must be one of {', '.join(known)}{near(name, known)}")
    kind = type(model).__name__
    if not hasattr(model, "decode"):
        raise UsageError(f"sampler={name}: {kind} has no decoder, so there is nothing to sample")
    if name == "prior" and not isinstance(model, Variational):
        others = ", ".join(other for other in known if other != "prior")
        raise UsageError(f"sampler=prior: {kind} has no prior; use one of {others}, which are fitted to its codes")
    if name != "prior" and model.shapes.condition:
        raise UsageError(f"sampler={name}: the codes of a conditional model depend on its condition; use sampler=prior")


@torch.no_grad()
def draw(model: Any, n: int, sampler: Sampler | None = None, c: Tensor | None = None) -> Tensor:
    """Means of p(x|z) for n latents, decoded in pieces, ``[n, *event]``.

    Args:
        model: any variant with a decoder, in eval mode.
        n: how many.
        sampler: what :func:`fit` gives; None is the model's own prior.
        c: conditions, ``[n, *condition]``.
    """
    pieces = []
    for start in range(0, n, AT_ONCE):
        size, given = min(AT_ONCE, n - start), None if c is None else c[start : start + AT_ONCE]
        z = sampler(size) if sampler and c is None else model.ancestral(size, given)
        pieces.append(model.decode(z, given).mean)
    return torch.cat(pieces)
