"""Speed of training and evaluation against other ways to do the same, all measured in one run.

    python scripts/bench_training.py [--data ROOT] [--rounds 5] [--only vs_loop,conv_vs_loop] [--quick]

Prints a table and, as its last line, one JSON object; a key that was not measured is null.

In each round every side trains a new model for two epochs, in an order that rotates. Only the second epoch is timed, so
that set-up and warm-up do not count; nobody validates, and what a run writes at its end does not count. Times are taken
over blocks of 50 steps (a quarter of the steps, where there are under 200). The loop trains in turn with ours, one
block each, and a ratio to it is the median over all pairs of neighbouring blocks: a machine may change its speed within
a second. The others train one after the other; there a side's time is that of its median block, and a ratio is the
median over the rounds of (images per second of vaezoo) / (those of the other side).

All sides use the GPU where there is one, have equal networks and batches and score grey pixels k/255 by their binary
cross-entropy:

- ours: what ``vaezoo train`` does by default, with progress bar, CSV log and checkpoints
- loop: plain PyTorch over a uint8 tensor in the memory of the device, with torch's fused Adam, our matrix products
  and our denormal numbers; the sides that follow have PyTorch's defaults, but memory stays with the process for all
- pythae: its VAE and BaseTrainer as they come (``pip install --no-deps pythae==0.1.2 cloudpickle imageio``)
- torchvision: Lightning's Trainer as it comes, a DataLoader of torchvision's MNIST, the loss logged in each step

``step_overhead_us`` is the time of a step of our trainer less that of the loop, for one 16x16 layer and batches of 8;
``vs_barebones`` is, for the same model, the speed over that of Lightning's ``Trainer(barebones=True)``, which has no
bar, no log and no checkpoints, with a loader as plain as the loop's.
``iw_vs_naive`` is the likelihood with 5000 samples as ``vaezoo evaluate`` computes it, over one image at a time in
chunks of 100 samples with PyTorch's default matrix products; ``help_seconds`` and ``list_seconds`` are whole processes.
"""

import argparse
import io
import json
import logging
import math
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import hydra
import numpy as np
import torch
import torch.nn.functional as F
from laps import DEVICE, Laps, as_it_comes, block, now
from omegaconf import DictConfig
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.datasets import MNIST
from torchvision.transforms import ToTensor

from vaezoo import Batch, Shapes, Terms, Variant, compose
from vaezoo.build import build, latent_shape
from vaezoo.callbacks.loggers import close, make_loggers
from vaezoo.callbacks.record import Record
from vaezoo.data.datamodule import DataModule
from vaezoo.evaluate.evaluate import PIECE
from vaezoo.hardware import matmul_precision, prepare
from vaezoo.train import _prepare, _trainer
from vaezoo.variational import Variational

GOALS = {
    "vs_loop": ">= 0.88",
    "vs_pythae": ">= 1.3",
    "vs_torchvision_loader": ">= 2",
    "conv_vs_loop": ">= 0.95",
    "step_overhead_us": "<= 420",
    "vs_barebones": ">= 1",
    "iw_vs_naive": ">= 2",
    "help_seconds": "<= 0.5",
    "list_seconds": "<= 1",
}
BATCH, CHANNELS = 128, (32, 64, 128, 256)
AS_THEY_COME = ("vs_pythae", "vs_torchvision_loader", "iw_vs_naive")  # with PyTorch's default arithmetic
GREY = ["likelihood=bernoulli", "likelihood.allow_relaxed=true"]
CONV = ["latent=64", *(f"{part}=conv" for part in ("encoder", "decoder"))]
CONV += [f"{part}.channels={list(CHANNELS)}" for part in ("encoder", "decoder")]


class Clock(Callback):
    """:class:`Laps` of the last training epoch."""

    on_train_batch_start = on_before_zero_grad = on_before_backward = on_after_backward = None  # type: ignore
    on_before_optimizer_step = None  # type: ignore

    def __init__(self, steps: int, rival: Iterator[float] | None = None) -> None:
        self.steps, self.rival = steps, rival

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.laps = Laps(self.steps, self.rival)

    def on_train_batch_end(self, *args: Any) -> None:
        self.laps.step()


def ours(
    overrides: list[str],
    steps: int,
    folder: Path,
    make: Callable[..., Variant] = build,
    rival: Iterator[float] | None = None,
) -> Laps:
    """:func:`vaezoo.train` up to the end of training, with a clock; ``make`` builds the model."""
    run_dir = folder / str(time.monotonic_ns())
    lengths = ["trainer.max_epochs=2", "trainer.check_val_every_n_epoch=3", f"trainer.limit_train_batches={steps}"]
    config = compose([*overrides, *lengths, f"run_dir={run_dir}"])
    _prepare(config)
    data = hydra.utils.instantiate(config.dataset)
    data.setup()
    model = make(config, data.shapes(latent_shape(config.latent)))
    loggers = make_loggers(config.logger, run_dir, {}, resuming=False)
    trainer = _trainer(config, run_dir, model, loggers, Record(run_dir, config, data, model))
    trainer.callbacks.append(clock := Clock(steps, rival))
    trainer.fit(model, datamodule=data)
    close(loggers)
    return clock.laps


def loop(
    loss: Callable[[Tensor], Tensor], parameters: Iterable[Tensor], x: Tensor, steps: int, batch: int
) -> Iterator[float]:
    """Training by hand without end; yields the seconds of each block of a training of ``steps`` steps.

    ``loss`` takes stored rows, on the device of ``x``.
    """
    optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=True)
    done, begin, total = 0, now(), torch.zeros((), device=x.device)
    while True:
        for index in torch.randperm(len(x), device=x.device)[: steps * batch].split(batch):
            value = loss(x.index_select(0, index))
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            total += value.detach()
            done += 1
            if done % block(steps) == 0:
                yield now() - begin
                begin = now()


def vae_loop(nets: Callable[[], nn.ModuleList], x: Tensor, steps: int) -> Iterator[float]:
    """:func:`loop` for a VAE whose encoder and decoder ``nets`` makes."""
    encode, decode = pair = nets().to(DEVICE)
    return loop(lambda rows: minus_elbo(rows.float().div_(255), encode, decode), pair.parameters(), x, steps, BATCH)


def minus_elbo(x: Tensor, encode: nn.Module, decode: nn.Module) -> Tensor:
    """Minus the ELBO of x ``[B, *event]`` in nats, mean over the batch."""
    mean, log_std = encode(x).chunk(2, dim=1)
    logits = decode(mean + log_std.exp() * torch.randn_like(mean)).view_as(x)
    distortion = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    rate = 0.5 * (mean.square() + (2 * log_std).exp() - 2 * log_std - 1).sum()
    return (distortion + rate) / len(x)


def dense() -> nn.ModuleList:
    """784-400-400-20x2 and 20-400-400-784."""
    encode = [nn.Flatten(), nn.Linear(784, 400), nn.ReLU(), nn.Linear(400, 400), nn.ReLU(), nn.Linear(400, 40)]
    decode = [nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, 400), nn.ReLU(), nn.Linear(400, 784)]
    return nn.ModuleList([nn.Sequential(*encode), nn.Sequential(*decode)])


def conv() -> nn.ModuleList:
    """Four strided convolutions from 32x32 to 2x2 and back, with 64 latents."""
    down: list[nn.Module] = []
    up: list[nn.Module] = [nn.Linear(64, 4 * CHANNELS[-1]), nn.Unflatten(1, (CHANNELS[-1], 2, 2)), nn.ReLU()]
    for before, after in pairwise((1, *CHANNELS)):
        down += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU()]
    for before, after in pairwise((*CHANNELS[::-1], CHANNELS[0] // 2)):
        up += [nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=1), nn.ReLU()]
    down += [nn.Flatten(), nn.Linear(4 * CHANNELS[-1], 128)]
    return nn.ModuleList([nn.Sequential(*down), nn.Sequential(*up, nn.Conv2d(CHANNELS[0] // 2, 1, 1))])


class Plain(LightningModule):
    """A VAE as Lightning's users write it."""

    def __init__(self) -> None:
        super().__init__()
        self.nets = dense()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        loss = minus_elbo(batch[0], *self.nets)
        self.log("loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def torchvision(root: Path, steps: int, folder: Path) -> float:
    """Lightning and torchvision as they come."""
    data = DataLoader(MNIST(str(root), transform=ToTensor()), batch_size=BATCH, shuffle=True)
    options = {"accelerator": DEVICE, "max_epochs": 2, "limit_train_batches": steps, "default_root_dir": folder}
    Trainer(**options, callbacks=[clock := Clock(steps)]).fit(Plain(), data)
    return clock.laps.seconds


def pythae(x: Tensor, steps: int, folder: Path) -> float:
    """pythae as it comes."""
    from pythae.models import VAE, VAEConfig
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae_side import Decoder, Encoder, seconds

    encode, decode = dense()
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=20, reconstruction_loss="bce")
    model = VAE(config, Encoder(encode), Decoder(decode))
    return seconds(model, x[: steps * BATCH], BATCH, folder, BaseTrainer, BaseTrainerConfig)


class Tiny(Variant):
    """One 16x16 layer: what is left of a step is the trainer."""

    def __init__(self, shapes: Shapes, optimizer: DictConfig) -> None:
        super().__init__(shapes, optimizer)
        self.layer = nn.Linear(16, 16)

    def terms(self, batch: Batch) -> Terms:
        h = self.layer(batch.x)
        return Terms(distortion=(h - batch.x).square().sum(1), rate=h.square().sum(1))


def tiny_loop(x: Tensor, steps: int) -> Iterator[float]:
    """:func:`loop` for the model of :class:`Tiny`."""
    layer = nn.Linear(16, 16).to(DEVICE)

    def loss(x: Tensor) -> Tensor:
        h = layer(x)
        return (h - x).square().sum(1).mean() + h.square().sum(1).mean()

    return loop(loss, layer.parameters(), x, steps, 8)


class TinyPlain(LightningModule):
    """The model of :class:`Tiny` as Lightning's users write it, with a clock of its own: barebones has no callbacks."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(16, 16)

    def on_train_epoch_start(self) -> None:
        self.laps = Laps(self.trainer.num_training_batches)

    def on_train_batch_end(self, *args: Any) -> None:
        self.laps.step()

    def training_step(self, x: Tensor, batch_idx: int) -> Tensor:
        h = self.layer(x)
        return (h - x).square().sum(1).mean() + h.square().sum(1).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3, fused=True)


class Rows:
    """Batches of 8 rows in a random order."""

    def __init__(self, x: Tensor, steps: int) -> None:
        self.x, self.steps = x, steps

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Tensor]:
        for index in torch.randperm(len(self.x), device=self.x.device)[: self.steps * 8].split(8):
            yield self.x.index_select(0, index)


def barebones(x: Tensor, steps: int) -> float:
    """Lightning's loop with all of its features off."""
    model = TinyPlain()
    Trainer(accelerator=DEVICE, max_epochs=2, barebones=True).fit(model, Rows(x, steps))
    return model.laps.seconds


@torch.no_grad()
def batched(model: Variational, x: Tensor, k: int) -> float:
    """Seconds per image of our estimate of log p(x)."""
    begin = now()
    model.log_likelihood(x, k)
    return (now() - begin) / len(x)


@torch.no_grad()
def naive(model: Variational, x: Tensor, k: int) -> float:
    """Seconds per image of the same estimate, one image and 100 samples at a time."""
    begin = now()
    for image in x.split(1):
        chunks = [model.log_weights(image, 100) for _ in range(k // 100)]
        torch.cat(chunks).logsumexp(0).sub(math.log(k)).item()
    return (now() - begin) / len(x)


def command(argument: str) -> float:
    """Seconds of a whole process."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-m", "vaezoo", argument], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def alternate(sides: dict[str, Callable[[], float]], count: int, images: int) -> dict[str, list[float]]:
    """Seconds that each side takes for ``images``, one number per round."""
    names, chosen = list(sides), matmul_precision(compose().hardware)
    times: dict[str, list[float]] = {name: [] for name in names}
    for k in range(count):
        for name in names[k % len(names) :] + names[: k % len(names)]:
            torch.set_float32_matmul_precision(chosen)
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                times[name].append(as_it_comes(sides[name]) if name in AS_THEY_COME else sides[name]())
    for name, seconds in times.items():
        print(f"  {name:24}{images / median(seconds):10.1f} images/s", flush=True)
    return times


def measure(root: Path, folder: Path, wanted: list[str], count: int, quick: bool) -> dict[str, float | None]:
    """What is asked for, as the module's docstring defines it; the rest is None.

    Args:
        root: folder of MNIST in torchvision's layout.
        folder: where runs go.
        wanted: keys of :data:`GOALS`.
        count: rounds.
        quick: do a few steps only, to see that everything runs.
    """
    steps, conv_steps, tiny_steps, k, few = (3, 2, 20, 200, 2) if quick else (400, 40, 3000, 5000, 4)
    data = DataModule("mnist", str(root), val_size=10_000)
    data.setup()
    digits, vectors = data.split("train").x.to(DEVICE), torch.rand(tiny_steps * 10, 16, device=DEVICE)
    grids = F.pad(digits, (2, 2, 2, 2))
    np.savez(folder / "grids.npz", x=grids.cpu().numpy())
    np.savez(folder / "vectors.npz", x=vectors.cpu().numpy())
    mnist = ["dataset=mnist", f"dataset.root={root}", f"dataset.batch_size={BATCH}", *GREY]
    padded = ["dataset=arrays", f"dataset.path={folder}/grids.npz", f"dataset.batch_size={BATCH}", *GREY, *CONV]
    tiny = ["dataset=arrays", f"dataset.path={folder}/vectors.npz", "dataset.batch_size=8"]
    model = build(compose(mnist), data.shapes((20,))).to(DEVICE)
    x = data.split("test")[: 2 if quick else PIECE].x.to(DEVICE)

    pairs: dict[str, list[tuple[float, float]]] = defaultdict(list)  # ours, loop: seconds of a step

    def beside(key: str, loop: Callable[[], Iterator[float]], overrides: list[str], steps: int, *make: Any) -> float:
        laps = ours(overrides, steps, folder, *make, rival=loop() if key in wanted else None)
        pairs[key] += [(a / laps.block, b / laps.block) for a, b in zip(laps.times, laps.others, strict=False)]
        return laps.seconds

    mlps = {
        "vs_pythae": partial(pythae, digits, steps, folder),
        "vs_torchvision_loader": partial(torchvision, root, steps, folder),
    }
    if not find_spec("pythae"):
        del mlps["vs_pythae"]
    mine = partial(beside, "vs_loop", partial(vae_loop, dense, digits, steps), mnist, steps)
    mine_conv = partial(beside, "conv_vs_loop", partial(vae_loop, conv, grids, conv_steps), padded, conv_steps)
    tiny_model = partial(beside, "step_overhead_us", partial(tiny_loop, vectors, tiny_steps), tiny, tiny_steps)
    mine_tiny = partial(tiny_model, lambda config, shapes: Tiny(shapes, config.optimizer))
    groups: list[tuple[str, int, Callable[[], float], dict[str, Any]]] = [
        ("vs_loop", steps * BATCH, mine, mlps),
        ("conv_vs_loop", conv_steps * BATCH, mine_conv, {}),
        ("step_overhead_us", tiny_steps * 8, mine_tiny, {"vs_barebones": partial(barebones, vectors, tiny_steps)}),
        ("", 1, partial(batched, model, x, k), {"iw_vs_naive": partial(naive, model, x[:few], k)}),
    ]
    found: dict[str, float | None] = dict.fromkeys(GOALS)
    for beside_key, images, mine, others in groups:
        others = {key: side for key, side in others.items() if key in wanted}
        if not others and beside_key not in wanted:
            continue
        times = alternate({"ours": mine, **others}, count, images)
        for key in others:
            found[key] = median(b / a for a, b in zip(times["ours"], times[key], strict=True))
        if beside_key in wanted:
            overhead = beside_key == "step_overhead_us"
            found[beside_key] = median((a - b) * 1e6 if overhead else b / a for a, b in pairs[beside_key])
    for key, argument in (("help_seconds", "--help"), ("list_seconds", "list")):
        if key in wanted:
            found[key] = median(command(argument) for _ in range(count))
    return found


def main() -> None:
    root = os.environ.get("VAEZOO_DATA", "data")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(root), help="folder with MNIST (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(GOALS), help="keys to measure, separated by commas")
    parser.add_argument("--quick", action="store_true", help="one round of a few steps, to see that everything runs")
    given = parser.parse_args()
    wanted = given.only.split(",")
    if unknown := set(wanted) - set(GOALS):
        parser.error(f"--only: no {', '.join(unknown)} among {', '.join(GOALS)}")
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    prepare(compose().hardware)  # before the threads that help this one start
    machine = torch.cuda.get_device_name() if DEVICE == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"torch {torch.__version__}, {machine}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(given.data.absolute(), Path(folder), wanted, 1 if given.quick else given.rounds, given.quick)
    print(f"\n{'measure':24}{'value':>10}  goal")
    for key, goal in GOALS.items():
        value = found[key]
        print(f"{key:24}{'-' if value is None else format(value, '.3g'):>10}  {goal}")
    if "vs_pythae" in wanted and not find_spec("pythae"):
        print("pythae is missing: pip install --no-deps pythae==0.1.2 cloudpickle imageio")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
