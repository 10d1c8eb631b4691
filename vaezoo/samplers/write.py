"""Samples of a finished run as a file."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vaezoo import runs
from vaezoo.build import load, load_data
from vaezoo.callbacks.draw import grid
from vaezoo.callbacks.pictures import conditions
from vaezoo.data.standardise import Scale
from vaezoo.distributions import noise
from vaezoo.errors import UsageError
from vaezoo.evaluate.mode import on_device
from vaezoo.files import atomic
from vaezoo.samplers.fit import SAMPLING, check, draw, fit

SUFFIXES = (".png", ".npy", ".pt")


def sample_run(
    run_dir: Path, sampler: str = "prior", n: int = 64, seed: int = 0, out: Path | None = None, trust: bool = False
) -> Path:
    """Draws from a run's model and writes a grid of pictures (.png), or the samples as an array (.npy) or tensor (.pt).

    Samples of standardised data are written in units of the data. A conditional model gets the conditions of the first
    test examples of each class, one column of the grid each.

    Args:
        run_dir: the run's folder.
        sampler: a name of :mod:`vaezoo.samplers`.
        n: number of samples, >= 1.
        seed: seed of the fit and of the draws.
        out: where to write; None is samples.png in the run's folder, samples.npy for vectors.
        trust: as in :func:`vaezoo.build.load`.

    Returns:
        Path: The file.

    Raises:
        UsageError: the folder is not a finished run, or the model or the file do not allow it.
    """
    model = load(run_dir, trust=trust)
    event = model.shapes.event
    pictures = len(event) == 3 and event[0] in (1, 3)
    out = out or run_dir / f"samples{'.png' if pictures else '.npy'}"
    if out.suffix not in SUFFIXES:
        raise UsageError(f"--out={out} must end in .png, .npy or .pt")
    if out.suffix == ".png" and not pictures:
        raise UsageError(f"--out={out}: samples of shape {list(event)} are no pictures; use .npy or .pt")
    check(sampler, model)
    data = load_data(run_dir, trust=trust) if sampler != "prior" or model.shapes.condition else None
    drawing = fit(sampler, model, data, seed) if sampler != "prior" and data else None
    columns, c = max(1, round(n**0.5)), None
    if model.shapes.condition and data:
        each = conditions(model, on_device(data.split("test")[:1000], model))
        assert each is not None
        columns, c = len(each), each[torch.arange(n) % len(each)]
    with torch.no_grad(), noise.seeded(SAMPLING, seed, 1):
        x = draw(model, n, drawing, c)
    units = runs.read(run_dir).record.get("data", {}).get("standardised")
    _write(Scale.read(units).undo(x) if units else x, out, columns, model.shapes.range)
    return out


def _write(x: Tensor, out: Path, columns: int, value_range: tuple[float, float]) -> None:
    with atomic(out) as draft:
        if out.suffix == ".png":
            Image.fromarray(grid(x, min(columns, len(x)), value_range)).save(draft)
        elif out.suffix == ".npy":
            np.save(draft, x.numpy())
        else:
            torch.save(x, draft)
