"""Builds combinations of variant, posterior, prior and likelihood at tiny size and trains each for two steps.

    python scripts/composition_matrix.py [--cells 1000] [--seed 0] [--out FILE.csv]

Each cell is `trained`, `refused` by one sentence before any work starts, or `crashed`. The last line is one JSON object
with the three counts; the exit code is 1 if a cell crashed.
"""

import argparse
import csv
import json
import random
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import NamedTuple

import torch
from tqdm import tqdm

from vaezoo import optimizers, registry
from vaezoo.batch import Batch
from vaezoo.build import build, latent_shape
from vaezoo.choices import NONE
from vaezoo.configs import compose
from vaezoo.contract.subjects import DIGITS, narrow
from vaezoo.data.datamodule import DataModule
from vaezoo.distributions import noise
from vaezoo.errors import UsageError

AXES = ("variant", "posterior", "prior", "likelihood")
BINARY = ("bernoulli",)  # these likelihoods see thresholded digits, the others grey ones


class Cell(NamedTuple):
    """One combination."""

    variant: str
    posterior: str
    prior: str
    likelihood: str


def cells() -> list[Cell]:
    """All combinations of the registry."""
    return [Cell(*names) for names in product(*(registry.names(axis) for axis in AXES))]


def sample(count: int, seed: int = 0) -> Iterator[Cell]:
    """``count`` cells; every name of every axis comes up about equally often."""
    shuffled = {axis: registry.names(axis) for axis in AXES}
    rng = random.Random(seed)
    decks: dict[str, list[str]] = {axis: [] for axis in AXES}
    for _ in range(count):
        for axis in AXES:
            if not decks[axis]:
                decks[axis] = rng.sample(shuffled[axis], len(shuffled[axis]))
        yield Cell(*(decks[axis].pop() for axis in AXES))


def outcome(cell: Cell) -> tuple[str, str]:
    """``trained``, ``refused`` or ``crashed``, and the sentence or the traceback's last line."""
    try:
        two_steps(cell)
    except UsageError as error:
        text = str(error)
        return ("refused", text) if "\n" not in text else ("crashed", f"a refusal of several lines: {text}")
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return "crashed", f"{type(error).__name__}: {error} ({frame.filename.rsplit('/', 1)[-1]}:{frame.lineno})"
    return "trained", ""


def two_steps(cell: Cell) -> None:
    """Every update of every stage on two batches of digits."""
    chosen = [f"{axis}={name}" for axis, name in cell._asdict().items() if uses(cell.variant, axis)]
    config = compose([*chosen, *DIGITS])
    narrow(config)
    data = digits(cell.likelihood in BINARY)
    with noise.seeded(0):
        model = build(config, data.shapes(latent_shape(config.latent)))
        with torch.no_grad():
            model.start(data.split("train")[:64].x)
        for stage in model.stages:
            for update in stage.updates:
                optimizer = optimizers.make(update.parameters, optimizers.options({**update.optimizer}))
                for step in range(2):
                    terms = stage.terms(update, batch(data, step))
                    if terms is not None:
                        optimizer.zero_grad()
                        loss = terms.loss
                        if not loss.isfinite():
                            raise FloatingPointError(f"{update.name} has the loss {loss.item()}")
                        loss.backward()
                        optimizer.step()


def uses(variant: str, axis: str) -> bool:
    """Whether a variant reads a part; a cell that names one which it does not read is that variant without it."""
    return axis == "variant" or axis in registry.load("variant", variant).uses  # type: ignore[attr-defined]


@cache
def digits(binary: bool) -> DataModule:
    """The embedded digits."""
    data = DataModule("digits", batch_size=16, binarise="threshold" if binary else NONE)
    data.setup()
    return data


def batch(data: DataModule, step: int) -> Batch:
    """A batch of 16 digits."""
    return data.split("train")[16 * step : 16 * (step + 1)]


def main() -> None:
    """Runs the cells and prints the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default="1000", help="how many cells, or all")
    parser.add_argument("--seed", type=int, default=0, help="which cells")
    parser.add_argument("--out", help="a CSV file with every cell's outcome")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    chosen = cells() if options.cells == "all" else list(sample(int(options.cells), options.seed))
    rows = [(*cell, *outcome(cell)) for cell in tqdm(chosen, unit=" cells")]
    counts = Counter(row[len(AXES)] for row in rows)
    if options.out:
        with open(options.out, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([(*AXES, "outcome", "message"), *rows])
    for row in rows:
        if row[len(AXES)] == "crashed":
            print(*row, sep=" | ")
    print(json.dumps({"cells": len(rows), **{kind: counts[kind] for kind in ("trained", "refused", "crashed")}}))
    sys.exit(counts["crashed"] > 0)


if __name__ == "__main__":
    main()
