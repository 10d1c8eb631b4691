"""Run folders that no training has filled, for tests of what reads them."""

import csv
import json
import math
import random
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from vaezoo import runs

DIMENSIONS, EPOCHS, EVENT = 8, 3, (1, 8, 8)
NO_PRIOR = "no prior: a deterministic autoencoder defines no p(x)"
OF_A_PRIOR = ("elbo", "rate", "nll", "bits_per_dim", "mutual_information", "active_units", "kl_per_dimension")
TILE, GAP, COLUMNS = 40, 2, {"reconstructions": 10, "samples": 8, "traversals": 11}


def synthetic_run(
    folder: Path,
    variant: str = "vae",
    seed: int = 0,
    *,
    state: str = "finished",
    reason: str | None = None,
    dataset: str = "digits",
    likelihood: str = "bernoulli",
    settings: dict[str, Any] | None = None,
    results: dict[str, Any] | None = None,
    record: dict[str, Any] | None = None,
    pictures: bool = True,
) -> Path:
    """Fills a run folder.

    Args:
        folder: is made.
        variant, seed, dataset, likelihood: of the configuration; `autoencoder` has no prior, `vq_vae` has codes.
        state: one of ``vaezoo.runs.STATES``, but ``running``, which needs a process.
        reason: why the run did not finish.
        settings: values of dotted configuration keys, e.g. ``{"variant.beta": 4.0}``.
        results: fields of results.json to change; ``nll`` shifts ELBO and distortion with it.
        record: fields of run.json to change.
        pictures: whether there are some.

    Returns:
        Path: The folder.
    """
    folder.mkdir(parents=True)
    choices = {"variant": variant, "dataset": dataset, "likelihood": likelihood, "encoder": "mlp", "decoder": "mlp"}
    choices |= {"posterior": "vq" if variant == "vq_vae" else "diagonal", "prior": "standard", "logger": "csv"}
    settings = settings or {}
    overrides = [f"variant={variant}", f"seed={seed}", *(f"{key}={value}" for key, value in settings.items())]
    job = {"overrides": overrides, "choices": choices, "seed": seed}
    (folder / runs.JOB).write_text(json.dumps(job))
    if state == "queued":
        return folder
    config = _config(folder, choices, seed, settings, overrides)
    (folder / runs.CONFIG).write_text(yaml.safe_dump(config, sort_keys=False))
    status = "running" if state == "dead" else state
    (folder / runs.RECORD).write_text(json.dumps({**_record(seed, status, reason), **(record or {})}))
    measured = _results(variant, seed, results or {})
    _write_metrics(folder / runs.METRICS, measured)
    if state == "finished":
        (folder / runs.RESULTS).write_text(json.dumps(measured))
    if pictures and state == "finished":
        (folder / "pictures").mkdir()
        for name in COLUMNS:
            (folder / "pictures" / f"{name}.png").write_bytes(_picture(name, variant, seed % 4))
    return folder


def _config(
    folder: Path, choices: dict[str, str], seed: int, settings: dict[str, Any], overrides: list[str]
) -> dict[str, Any]:
    part = {"_partial_": True, "_convert_": "all"}
    config: dict[str, Any] = {
        "seed": seed,
        "latent": DIMENSIONS,
        "evaluate": {"k": 100, "quality": None},
        "run_dir": str(folder),
        **{group: {"_target_": f"vaezoo.{group}s.{choices[group]}.X", **part} for group in ("prior", "likelihood")},
        "encoder": {"_target_": "vaezoo.networks.mlp.Encoder", **part, "hidden": [16]},
        "decoder": {"_target_": "vaezoo.networks.mlp.Decoder", **part, "hidden": [16]},
        "posterior": {"_target_": "vaezoo.posteriors.x.X", **part},
        "dataset": {"source": choices["dataset"], "root": "data", "batch_size": 128, "binarise": "none", "seed": seed},
        "optimizer": {"name": "adam", "lr": 0.001},
        "trainer": {"max_epochs": EPOCHS, "progress_bar": False},
        "hardware": {"accelerator": "cpu", "devices": 1, "precision": "32-true"},
        "logger": {"name": "csv"},
        "variant": {"_target_": f"vaezoo.variants.{choices['variant']}.X", **part},
        "choices": choices,
        "overrides": overrides,
    }
    if choices["variant"] == "vq_vae":
        config["posterior"]["codes"] = 512
    for key, value in settings.items():
        *path, last = key.split(".")
        place = config
        for name in path:
            place = place.setdefault(name, {})
        if path:
            place[last] = value
        else:
            config[last] = value
    return config


def _record(seed: int, status: str, reason: str | None) -> dict[str, Any]:
    return {
        "status": status,
        "reason": reason,
        "seed": seed,
        "shapes": {"event": list(EVENT), "latent": [DIMENSIONS], "condition": []},
        "parameters": {"total": 12345, "trainable": 12345},
        "hardware": {"accelerator": "cpu", "device": "a processor", "threads": 1, "processes": 1},
        "seconds": 3.5,
        "images_per_second": 1000.0 + seed,
        "epochs": EPOCHS,
        "peak_memory_mb": {"host": 900},
    }


def _results(variant: str, seed: int, changed: dict[str, Any]) -> dict[str, Any]:
    noise = random.Random(f"{variant}{seed}")
    nll = changed.get("nll") or 30.0 + noise.gauss(0, 0.5)
    rate = changed.get("rate", 8.0 + noise.gauss(0, 0.2))
    kl = [(rate or 0.0) * 2.0 ** -(d + 1) for d in range(DIMENSIONS)]
    found: dict[str, Any] = {
        "split": "test",
        "images": 360,
        "k": 100,
        "elbo": -(nll + 1.5),
        "distortion": nll + 1.5 - (rate or 0.0),
        "rate": rate,
        "rate_is": "exact",
        "nll": nll,
        "nll_standard_error": 0.4,
        "bits_per_dim": nll / 64 / math.log(2),
        "active_units": DIMENSIONS,
        "mutual_information": 3.0,
        "kl_per_dimension": kl,
        "squared_error": 5.0 + noise.random(),
        "measures": {},
        "reasons": {},
        "seconds": 0.1,
        "images_per_second": 3600.0,
        "others": [],
    }
    if variant == "vq_vae":
        found |= {
            "active_units": None,
            "kl_per_dimension": None,
            "measures": {"perplexity": 200.0, "codes_used": 400.0},
        }
        found["reasons"] = {"active_units": "codes have no dimensions: see their perplexity"}
    if variant == "autoencoder":
        found |= dict.fromkeys((*OF_A_PRIOR, "rate_is", "nll_standard_error"))
        found["reasons"] = dict.fromkeys(OF_A_PRIOR, NO_PRIOR)
    return found | changed


def _write_metrics(file: Path, measured: dict[str, Any]) -> None:
    """Three epochs that approach what was measured; of training and of held-out data, as the logger writes them."""
    terms = {name: measured[name] for name in ("distortion", "rate", "elbo") if measured[name] is not None}
    names = [*(f"train/{name}" for name in ("loss", *terms)), *(f"val/{name}" for name in ("loss", *terms))]
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, ["step", "epoch", *names], restval="")
        writer.writeheader()
        for epoch in range(EPOCHS):
            shown = {name: value * (1 + 0.5 ** (epoch + 1)) for name, value in terms.items()}
            shown["loss"] = 4 * sum(map(abs, shown.values()))
            for split in ("train", "val"):
                row = {f"{split}/{name}": value for name, value in shown.items()}
                writer.writerow({"step": 10 * (epoch + 1), **row})


@cache
def _picture(name: str, variant: str, seed: int) -> bytes:
    """Tiles as `vaezoo.callbacks.draw.grid` lays them out; the inputs of reconstructions are the same in all runs."""
    columns, rows = COLUMNS[name], 2 if name == "reconstructions" else 4
    table = np.full((rows * (TILE + GAP) + GAP, columns * (TILE + GAP) + GAP, 3), 255, np.uint8)
    for row in range(rows):
        level = np.random.default_rng(list(f"{name}{row}{'' if row == 0 else (variant, seed)}".encode()))
        for column in range(columns):
            top, left = GAP + row * (TILE + GAP), GAP + column * (TILE + GAP)
            tile = np.kron(level.integers(0, 255, EVENT[1:]), np.ones((TILE // EVENT[1], TILE // EVENT[2])))
            table[top : top + TILE, left : left + TILE] = tile[..., None]
    file = BytesIO()
    Image.fromarray(table).save(file, "png")
    return file.getvalue()
