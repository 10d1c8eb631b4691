"""Speed of training with ``hardware.flush_denormal=true`` over that with ``false``.

    python scripts/bench_denormal.py [--data ROOT] [--rounds 2] [--epochs 8] [overrides]

Each round trains a VAE on dynamically binarised MNIST once each way, in a process of its own. Prints images per second,
validation included, and, as its last line, one JSON object; the ratio is the median over the rounds.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median


def speed(flush: bool, folder: Path, overrides: list[str]) -> float:
    """Images per second of one training."""
    run = folder / str(flush)
    chosen = [f"run_dir={run}", f"hardware.flush_denormal={flush}", *overrides]
    command = [sys.executable, "-m", "vaezoo", "train", *chosen]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return json.loads((run / "run.json").read_text())["images_per_second"]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("VAEZOO_DATA", "data")))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("overrides", nargs="*", help="as of vaezoo train")
    options = parser.parse_args()
    fixed = ["dataset=mnist", "dataset.binarise=dynamic", "likelihood=bernoulli", "evaluate.k=0", "hardware=cpu"]
    fixed += [f"dataset.root={options.data.absolute()}", "callbacks.pictures=false", *options.overrides]
    fixed += [f"trainer.max_epochs={options.epochs}"]
    ratios = []
    for k in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            found = {flush: speed(flush, Path(folder), fixed) for flush in ((True, False) if k % 2 else (False, True))}
        print(f"true {found[True]:9.0f}  false {found[False]:9.0f} images/s", flush=True)
        ratios.append(found[True] / found[False])
    print(json.dumps({"flush_denormal": round(median(ratios), 3)}))


if __name__ == "__main__":
    main()
