"""Trains the same runs with 1, 2 and 4 processes at equal global batch and compares everything that they report.

python scripts/ddp_table.py --small --processes 1 2
python scripts/ddp_table.py --dataset mnist --epochs 2 --write docs/results/benchmarks/ddp.json
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

VARIANTS = {  # what the plain options do not show is in the second column
    "vae": ["trainer.ema=0.99", "evaluate.quality=[prior]"],
    "beta_tcvae": [],
    "vamp_vae": ["prior.components=20"],
    "vq_vae": ["hardware.precision=64-true"],  # in 32 bits rounding decides between codes that are equally near
    "vae_gan": [],
    "stacked_autoencoder": ["trainer.early_stopping=1"],
    "ms_ssim_vae": ["likelihood=gaussian", "likelihood.scale=shared"],
    "info_vae": ["variant.alpha=0.5", "prior=mixture"],
}
SHOWN = {  # which of the numbers make the table; all are compared
    "train/loss": "training loss",
    "val/loss": "validation loss",
    "nll": "NLL",
    "squared_error": "squared error",
    "measures.perplexity": "perplexity of the codes",
    "quality.prior.fid_clf": "fid_clf",
}
NARROW = {
    "vq_vae": ["encoder.channels=[8]", "decoder.channels=[8]", "prior.channels=8", "prior.layers=1"],
    "vae_gan": ["encoder.channels=[8]", "decoder.channels=[8]"],
    "stacked_autoencoder": ["variant.hidden=[32]"],
}


def main() -> int:
    """Prints the table; 1 if a number differs by more than the tolerance."""
    given = _arguments()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(given.runs or scratch)
        for variant in given.variants:
            folders = [train(root / f"{variant}-{n}", variant, n, given) for n in given.processes]
            rows.append(compare(variant, [numbers(folder) for folder in folders], folders))
            print(text(rows[-1], given.processes), flush=True)
    if given.write:
        settings = {name: value for name, value in vars(given).items() if name not in ("write", "runs")}
        given.write.write_text(json.dumps({"settings": settings, "rows": rows}, indent=2) + "\n", encoding="utf-8")
    worst = max(max(row["largest_difference"], row["weights_difference"]) for row in rows)
    print(f"largest relative difference: {worst:.1e} (tolerance {given.tolerance:.0e})")
    return int(worst > given.tolerance)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), help="by default all that are prepared here")
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2, 4], help="the first is what others equal")
    parser.add_argument("--small", action="store_true", help="digits, narrow networks, one epoch per stage")
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--epochs", type=int, default=2, help="at least as many as a variant has stages")
    parser.add_argument("--batch", type=int, default=128, help="examples in a global batch")
    parser.add_argument("--k", type=int, default=100, help="importance samples of the likelihood")
    parser.add_argument("--tolerance", type=float, default=1e-3, help="largest relative difference")
    parser.add_argument("--runs", type=Path, help="keep the runs here; those that are finished are not trained again")
    parser.add_argument("--write", type=Path, help="a .json file")
    given = parser.parse_args()
    if any(given.batch % n for n in given.processes):
        parser.error(f"--batch {given.batch} must be a multiple of every number of processes")
    if given.small:
        given.dataset, given.batch, given.k = "digits", 120, 10
    return given


def train(folder: Path, variant: str, processes: int, given: argparse.Namespace) -> Path:
    """Runs `vaezoo train` with so many processes."""
    if (folder / "results.json").is_file():
        return folder
    hardware = [f"hardware.devices={processes}", "hardware=cpu_ddp"] if processes > 1 else ["hardware=cpu"]
    small = ["trainer.log_every_n_batches=3", "evaluate.samples=200"] if given.small else []
    small += NARROW.get(variant, ["encoder.hidden=[16]", "decoder.hidden=[16]"]) if given.small else []
    overrides = [
        f"variant={variant}",
        f"dataset={given.dataset}",
        f"dataset.batch_size={given.batch // processes}",
        f"dataset.eval_batch_size={given.batch // processes}",
        "dataset.drop_last=true",  # the last global batch is trimmed to a multiple of the processes
        f"trainer.max_epochs={max(given.epochs, 3 if variant == 'stacked_autoencoder' else 1)}",
        "trainer.progress_bar=false",
        "hardware.threads=1",
        f"evaluate.k={given.k}",
        "callbacks.pictures=false",
        f"run_dir={folder}",
        *hardware,
        *small,
        *VARIANTS.get(variant, []),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "vaezoo", "train", *overrides], capture_output=True, text=True, encoding="utf-8"
    )
    if done.returncode:
        raise SystemExit(f"vaezoo train {' '.join(overrides)}\nended with {done.returncode}:\n{done.stderr[-3000:]}")
    return folder


def numbers(folder: Path) -> dict[str, float]:
    """Every number that a run reports, by name: the evaluation, and training and validation epoch by epoch."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    for name in ("seconds", "images_per_second", "others"):
        results.pop(name, None)
    found = dict(_flat(results))
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for name, value in row.items():
                if value and name not in ("step", "epoch"):
                    found[f"{name}@{row['step']}"] = found[name] = float(value)
    return found


def _flat(values: Any, name: str = "") -> list[tuple[str, float]]:
    if isinstance(values, Mapping):
        return [pair for key, value in values.items() for pair in _flat(value, f"{name}.{key}" if name else key)]
    if isinstance(values, Sequence) and not isinstance(values, str):
        return [pair for place, value in enumerate(values) for pair in _flat(value, f"{name}.{place}")]
    return [(name, float(values))] if isinstance(values, int | float) else []


def compare(variant: str, found: list[dict[str, float]], folders: list[Path]) -> dict[str, Any]:
    """The shown numbers for each number of processes, and the largest relative difference of all from the first."""
    first = found[0]
    differences: dict[str, float] = {}
    for other in found[1:]:
        if missing := first.keys() ^ other.keys():
            raise SystemExit(f"{variant}: not every number of processes reports {sorted(missing)}")
        for name, value in first.items():
            differences[name] = max(differences.get(name, 0.0), abs(other[name] - value) / max(abs(value), 1.0))
    worst = max(differences, key=differences.__getitem__) if differences else ""
    return {
        "variant": variant,
        "values": {name: [each[name] for each in found] for name in SHOWN if name in first},
        "compared": len(first),
        "largest_difference": differences.get(worst, 0.0),
        "at": worst,
        "weights_difference": _weights(folders),
    }


def _weights(folders: list[Path]) -> float:
    """Largest difference of a tensor from the first run's, relative to the tensor's largest entry (or 1)."""
    first, *others = (load_file(folder / "model.safetensors") for folder in folders)
    return max(
        (float(abs(o[name] - w).max()) / max(float(abs(w).max()), 1.0) for o in others for name, w in first.items()),
        default=0.0,
    )


def text(row: dict[str, Any], processes: list[int]) -> str:
    """The rows of one variant as they are printed."""
    lines = [f"{row['variant']:20} {'':24}" + "".join(f"{f'{n} processes':>16}" for n in processes)]
    for name, values in row["values"].items():
        lines.append(f"{'':20} {SHOWN[name]:24}" + "".join(f"{value:16.6f}" for value in values))
    worst = f"{row['largest_difference']:.1e} ({row['at']})"
    lines.append(
        f"{'':20} {row['compared']} numbers differ by at most {worst}, weights by {row['weights_difference']:.1e}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
