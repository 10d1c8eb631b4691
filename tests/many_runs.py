"""A sweep that no training has filled: variants by turns, with other settings and some failures."""

import math
from pathlib import Path

from tests.synthetic import synthetic_run

VARIANTS = ("vae", "beta_vae", "iwae", "vq_vae", "autoencoder")
RATES = (1e-4, 3e-4, 1e-3, 3e-3)
FAILS = 17  # every run whose number is a multiple of this


def fill(place: Path, configurations: int, seeds: int = 2, dataset: str = "digits", epochs: int = 0) -> list[Path]:
    """Writes the folders of a sweep.

    Args:
        place: where the folders go.
        configurations: how many; within a variant the learning rate and the number of epochs differ.
        seeds: runs of each.
        dataset: what they were trained on.
        epochs: lengthens metrics.csv to so many epochs; 0 leaves the few of a synthetic run.
    """
    paths: list[Path] = []
    for index in range(configurations):
        variant, turn = VARIANTS[index % len(VARIANTS)], index // len(VARIANTS)
        lr, longest = RATES[turn % len(RATES)], 10 + turn // len(RATES)
        nll = 30 + index % len(VARIANTS) + math.log10(lr / 1e-3) ** 2 + 10 / longest
        results = {} if variant == "autoencoder" else {"rate": nll / 3}
        settings = {"optimizer.lr": lr, "trainer.max_epochs": longest}
        for seed in range(seeds):
            failed = (len(paths) + 1) % FAILS == 0
            if variant != "autoencoder":
                results["nll"] = nll + 0.3 * math.sin(index + 7 * seed)
            paths.append(
                synthetic_run(
                    place / f"{index:04d}-{variant}-{seed}",
                    variant,
                    seed,
                    state="failed" if failed else "finished",
                    reason="RuntimeError: no memory <b>left</b>" if failed else None,
                    dataset=dataset,
                    settings=settings,
                    results=results,
                )
            )
            if epochs:
                _lengthen(paths[-1] / "metrics.csv", epochs)
    return paths


def _lengthen(file: Path, epochs: int) -> None:
    head, *rows = file.read_text().splitlines()
    pair = [row.partition(",")[2] for row in rows[-2:]]
    file.write_text("\n".join([head, *(f"{10 * (k + 1)},{row}" for k in range(epochs) for row in pair)]) + "\n")
