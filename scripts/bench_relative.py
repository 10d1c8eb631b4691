"""Time of a training step of a variant over that of the VAE, with the default networks of both.

    python scripts/bench_relative.py [--variant factor_vae] [--data ROOT] [--rounds 15] [--options A=B ...]

Both models train in turn for so many batches (128 grey MNIST digits, one thread, 20 latents) through Lightning's loop,
without callbacks and loggers; the first round warms up. Printed are the median and the quartiles, over the rounds, of
the ratio of CPU seconds, which other processes on the machine disturb less, and of the ratio of wall-clock seconds; the
last line is a JSON object with the medians.
"""

import argparse
import json
import time
from statistics import median, quantiles
from typing import Any

import hydra
import torch
from pytorch_lightning import Callback, Trainer

from vaezoo import compose
from vaezoo.build import build, latent_shape
from vaezoo.data.datamodule import DataModule
from vaezoo.train import _prepare
from vaezoo.variant import Variant

FIRST = 3  # batches that are not timed
CPU: dict[str, Any] = {"accelerator": "cpu", "devices": 1, "use_distributed_sampler": False, "max_epochs": 1}
QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


class Clock(Callback):
    """CPU and wall-clock seconds from the start of batch ``FIRST`` to the end of training."""

    def on_train_batch_start(self, trainer: Trainer, model: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == FIRST:
            self.begin = time.process_time(), time.perf_counter()

    def on_train_epoch_end(self, *_: Any) -> None:
        self.seconds = time.process_time() - self.begin[0], time.perf_counter() - self.begin[1]


def made(overrides: list[str]) -> tuple[Variant, DataModule]:
    """The model and the data of a configuration."""
    config = compose([*overrides, "dataset=mnist", "latent=20", "hardware=cpu", "hardware.threads=1"])
    _prepare(config)
    data = hydra.utils.instantiate(config.dataset)
    data.prepare_data()
    data.setup()
    return build(config, data.shapes(latent_shape(config.latent))), data


def seconds(model: Variant, data: DataModule, batches: int) -> tuple[float, float]:
    """CPU and wall-clock seconds of so many batches."""
    clock = Clock()
    limits: dict[str, Any] = {"limit_train_batches": FIRST + batches, "limit_val_batches": 0}
    Trainer(callbacks=[clock], **CPU, **QUIET, **limits).fit(model, datamodule=data)
    return clock.seconds


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", default="factor_vae")
    parser.add_argument("--data", help="folder of MNIST; by default data")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--options", nargs="*", default=[], help="further overrides, of both but those of variant.")
    given = parser.parse_args()
    chosen = [*given.options, *([f"dataset.root={given.data}"] if given.data else [])]
    both = [text for text in chosen if not text.startswith("variant.")]
    sides = {"variant": made([f"variant={given.variant}", *chosen]), "vae": made(["variant=vae", *both])}
    ratios: dict[str, list[float]] = {"cpu": [], "wall": []}
    for k in range(given.rounds + 1):
        took = {name: seconds(*sides[name], given.batches) for name in sorted(sides, reverse=bool(k % 2))}
        if k:
            for name, mine, reference in zip(ratios, took["variant"], took["vae"], strict=True):
                ratios[name].append(mine / reference)
    for name, each in ratios.items():
        low, _, high = quantiles(each, n=4)
        print(f"{name:5} {median(each):.3f}  (quartiles {low:.3f} and {high:.3f})")
    print(json.dumps({f"{given.variant}_{name}": round(median(each), 3) for name, each in ratios.items()}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
