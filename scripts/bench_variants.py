"""Training speed of variants against pythae's, all measured in one run.

    python scripts/bench_variants.py [--data ROOT] [--rounds 3] [--batches 390] [--only vae,iwae]

Prints a table and, as its last line, one JSON object: variant -> (images per second of vaezoo) / (those of pythae),
the median over the rounds, and ``median`` of these. In each round both sides train a new model for two epochs, one
after the other; only the second epoch is timed, by its median block of steps.

Both sides have equal networks (784-400-400 and back, 20 latents, or one code of 64 numbers), batches of 128 grey MNIST
digits, equal numbers of samples (10), of pseudo-inputs (50) and of codes (512), and are otherwise as they come: ours is
what ``vaezoo train`` does with progress bar, CSV log and checkpoints; theirs is the trainer that pythae chooses
(``pip install --no-deps pythae==0.1.2 cloudpickle imageio``), with PyTorch's default arithmetic. 390 batches are an
epoch, long enough for denormal numbers to appear.

The two are made equal where they differ in work rather than in speed. pythae's FactorVAE trains its VAE on one half of
a batch and permutes the codes of the other, so it gets batches of 256, of which 128 count; both critics get the six
layers of 1000 of the paper (Kim and Mnih, appendix A).
"""

import argparse
import io
import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
from bench_training import BATCH, GREY, dense, ours
from laps import as_it_comes

from vaezoo import compose
from vaezoo.data.datamodule import DataModule
from vaezoo.hardware import matmul_precision, prepare

SQUARED = ["likelihood=gaussian", "likelihood.scale=fixed"]
DENSE = ["encoder=mlp", "decoder=mlp"]
OURS = {
    "vae": GREY,
    "beta_tcvae": [*GREY, "latent=20"],
    "vamp_vae": [*GREY, "prior.components=50"],
    "iwae": [*GREY, "variant.samples=10"],
    "vq_vae": [*GREY, *DENSE, "posterior.codes=512", "prior=uniform_codes", "latent=64"],
    "vae_gan": [*SQUARED, *DENSE],
    "factor_vae": [*GREY, "latent=20", f"variant.hidden={[1000] * 6}"],
    "wae_mmd": [*SQUARED, "latent=20"],
}


def theirs(name: str, x: Tensor, batches: int, folder: Path) -> float:
    """Seconds of pythae's second epoch."""
    from pythae import models, trainers
    from pythae_side import Decoder, Encoder, seconds

    picture = {"input_dim": (1, 28, 28)}
    common = {**picture, "latent_dim": 20, "reconstruction_loss": "bce"}
    adversarial = trainers.AdversarialTrainer, trainers.AdversarialTrainerConfig
    plain = trainers.BaseTrainer, trainers.BaseTrainerConfig
    coupled = trainers.CoupledOptimizerAdversarialTrainer, trainers.CoupledOptimizerAdversarialTrainerConfig
    squared = {**common, "reconstruction_loss": "mse"}
    recipes: dict[str, tuple[Any, Any, tuple[Any, Any]]] = {
        "vae": (models.VAE, models.VAEConfig(**common), plain),
        "beta_tcvae": (models.BetaTCVAE, models.BetaTCVAEConfig(**common), plain),
        "vamp_vae": (models.VAMP, models.VAMPConfig(**common, number_components=50), plain),
        "iwae": (models.IWAE, models.IWAEConfig(**common, number_samples=10), plain),
        "vq_vae": (models.VQVAE, models.VQVAEConfig(**picture, latent_dim=64, use_ema=True), plain),
        "factor_vae": (models.FactorVAE, models.FactorVAEConfig(**common), adversarial),
        "wae_mmd": (models.WAE_MMD, models.WAE_MMD_Config(**picture, latent_dim=20), plain),
        "vae_gan": (models.VAEGAN, models.VAEGANConfig(**squared, discriminator_input_dim=(1, 28, 28)), coupled),
    }
    model_class, config, how = recipes[name]
    encode, decode = dense()
    if codes := name in ("vq_vae", "wae_mmd"):
        encode[-1], decode[0] = nn.Linear(400, config.latent_dim), nn.Linear(config.latent_dim, 400)
    extra = {"discriminator": picture_critic(config)} if name == "vae_gan" else {}
    model = model_class(config, Encoder(encode, codes), Decoder(decode), **extra)
    size = BATCH
    if name == "factor_vae":
        model.discriminator.layers, size = code_critic(), 2 * BATCH
    taken = min(batches, len(x) // size)
    return seconds(model, x[: taken * size], size, folder, *how) * batches / taken


def picture_critic(config: Any) -> nn.Module:
    """784-400-400-1, the critic of our VAE-GAN."""
    from pythae.models.nn.default_architectures import Discriminator_MLP

    critic = Discriminator_MLP(config)
    hidden = [nn.Sequential(nn.Linear(784, 400), nn.ReLU()), nn.Sequential(nn.Linear(400, 400), nn.ReLU())]
    critic.layers = nn.ModuleList([*hidden, nn.Sequential(nn.Linear(400, 1), nn.Sigmoid())])
    critic.depth = 3
    return critic


def code_critic() -> nn.Module:
    """20-1000-1000-1000-1000-1000-1000-2, the critic of the paper but for pythae's second logit."""
    sizes = [20, *[1000] * 6]
    hidden = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.LeakyReLU(0.2))]
    return nn.Sequential(*hidden, nn.Linear(1000, 2))


def main() -> None:
    """Measures every variant and prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder of MNIST; by default data")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, default=390)
    parser.add_argument("--only", default=",".join(OURS), help="variants, separated by commas")
    options = parser.parse_args()
    if unknown := set(options.only.split(",")) - set(OURS):
        parser.error(f"--only={','.join(sorted(unknown))}: there are {', '.join(OURS)}")
    prepare(compose().hardware)  # before the threads that help this one start
    mnist = DataModule("mnist", root=options.data or "data")
    mnist.prepare_data()
    mnist.setup()
    x = mnist.split("train").x
    root = [f"dataset.root={options.data}"] if options.data else []
    ratios: dict[str, float] = {}
    chosen = matmul_precision(compose().hardware)
    with tempfile.TemporaryDirectory() as name:
        for variant in options.only.split(","):
            overrides = [f"variant={variant}", "dataset=mnist", f"dataset.batch_size={BATCH}", *root, *OURS[variant]]
            sides: dict[str, Callable[[], float]] = {
                "vaezoo": lambda given=overrides: ours(given, options.batches, Path(name)).seconds,
                "pythae": lambda given=variant: as_it_comes(lambda: theirs(given, x, options.batches, Path(name))),
            }
            times: dict[str, list[float]] = {side: [] for side in sides}
            for k in range(options.rounds):
                for side in sorted(sides, reverse=bool(k % 2)):
                    torch.set_float32_matmul_precision(chosen)
                    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                        times[side].append(sides[side]())
            ratios[variant] = median(b / a for a, b in zip(times["vaezoo"], times["pythae"], strict=True))
            speeds = {side: options.batches * BATCH / median(seconds) for side, seconds in times.items()}
            print(
                f"{variant:12} {speeds['vaezoo']:9.0f} {speeds['pythae']:9.0f} images/s  {ratios[variant]:.2f}",
                flush=True,
            )
    print(json.dumps({**{k: round(v, 3) for k, v in ratios.items()}, "median": round(median(ratios.values()), 3)}))


if __name__ == "__main__":
    main()
