"""Speed of training with a switch of ``hardware`` on over that with it off.

    python scripts/bench_hardware.py flush_denormal [--data ROOT] [--rounds 2] [--epochs 8] [overrides]
    python scripts/bench_hardware.py keep_memory --epochs 1 likelihood=categorical decoder=conv

Each round trains a VAE on MNIST once each way, in a process of its own. Prints images per second, validation included,
and, as its last line, one JSON object; the ratio is the median over the rounds.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median


def speed(switch: str, on: bool, folder: Path, overrides: list[str]) -> float:
    """Images per second of one training."""
    run = folder / str(on)
    command = [sys.executable, "-m", "vaezoo", "train", f"run_dir={run}", f"hardware.{switch}={on}", *overrides]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return json.loads((run / "run.json").read_text(encoding="utf-8"))["images_per_second"]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("switch", choices=["flush_denormal", "keep_memory"])
    parser.add_argument("overrides", nargs="*", help="as of vaezoo train")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("VAEZOO_DATA", "data")))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_intermixed_args()
    fixed = ["dataset=mnist", "evaluate.k=0", "hardware=cpu", "callbacks.pictures=false"]
    fixed += [f"dataset.root={options.data.absolute()}", f"trainer.max_epochs={options.epochs}", *options.overrides]
    ratios = []
    for k in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            order = (True, False) if k % 2 else (False, True)
            found = {on: speed(options.switch, on, Path(folder), fixed) for on in order}
        print(f"true {found[True]:9.0f}  false {found[False]:9.0f} images/s", flush=True)
        ratios.append(found[True] / found[False])
    print(json.dumps({options.switch: round(median(ratios), 3)}))


if __name__ == "__main__":
    main()
