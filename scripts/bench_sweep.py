"""What a run costs besides its training, launcher by launcher, and what a folder with many runs costs.

    python scripts/bench_sweep.py                        seconds per job of every launcher that is installed
    python scripts/bench_sweep.py --tiny-runs 2000       2000 real runs in one folder: making them, status, second start

Jobs are as small as a run can be: one batch, no evaluation, no pictures, no checkpoints. Every sweep is timed from the
start of its process to its end; the seconds per job are the slope between one job and many. The last line is JSON.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TINY = [
    *("dataset=digits", "encoder.hidden=[16]", "decoder.hidden=[16]", "latent=2", "evaluate.k=0", "callbacks=none"),
    *("trainer.max_epochs=1", "trainer.limit_train_batches=1", "trainer.limit_val_batches=1"),
    *("trainer.progress_bar=false", "hardware.threads=1"),
]
LAUNCHERS = {
    "basic": ("hydra", ["hardware=cpu"]),
    "joblib": (
        "hydra_plugins.hydra_joblib_launcher",
        ["hardware=cpu", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    ),
    "pool": ("hydra", ["hardware=cpu_pool", "hardware.slots=2"]),
    "submitit_local": ("hydra_plugins.hydra_submitit_launcher", ["hardware=slurm_local"]),
    "ray": (
        "hydra_plugins.hydra_ray_launcher",
        [
            "hardware=ray",
            "hardware.accelerator=cpu",
            "+hydra.launcher.ray.init.num_cpus=2",
            "+hydra.launcher.ray.init.include_dashboard=false",
            "+hydra.launcher.ray.init._node_ip_address=127.0.0.1",
        ],
    ),
}
GOAL = 5.0  # seconds, for the status and for a second start of 2000 runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=8, help="of each launcher (default: 8)")
    parser.add_argument("--launchers", default=",".join(LAUNCHERS), help="(default: all that are installed)")
    parser.add_argument("--tiny-runs", type=int, default=0, help="instead: as many runs in one folder, in one process")
    parser.add_argument("--folder", type=Path, help="where they go and stay (default: a folder that is deleted)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        found = (
            many(folder, given.tiny_runs) if given.tiny_runs else each(folder, given.launchers.split(","), given.jobs)
        )
    print(json.dumps(found))


def each(folder: Path, launchers: list[str], jobs: int) -> dict[str, Any]:
    """Seconds of a sweep of one job, and per further job, with each launcher."""
    found: dict[str, Any] = {"jobs": jobs, "cores": os.cpu_count(), "launchers": {}}
    print(f"{'launcher':<16}{'one job, s':>12}{f'{jobs} jobs, s':>12}{'per job, s':>12}")
    for name in launchers:
        package, overrides = LAUNCHERS[name]
        if not installed(package):
            print(f"{name:<16}{'not installed':>36}")
            continue
        one = sweep(folder / name / "one", overrides, 1)
        all_jobs = sweep(folder / name / "all", overrides, jobs)
        slope = (all_jobs - one) / (jobs - 1)
        found["launchers"][name] = {"one": round(one, 2), "all": round(all_jobs, 2), "per_job": round(slope, 3)}
        print(f"{name:<16}{one:>12.1f}{all_jobs:>12.1f}{slope:>12.2f}", flush=True)
    return found


def many(folder: Path, runs: int) -> dict[str, Any]:
    """Seconds to make runs in one process, to see how they stand, and to start the same sweep again; and their size."""
    making = sweep(folder / "sweep", LAUNCHERS["basic"][1], runs)
    status = timed(["sweep", "status", str(folder / "sweep")])
    again = sweep(folder / "sweep", LAUNCHERS["basic"][1], runs)
    inside = [path for path in (folder / "sweep").rglob("*")]
    finished = sum("finished" in path.read_text(encoding="utf-8") for path in (folder / "sweep").glob("*/run.json"))
    found = {
        "runs": runs,
        "finished": finished,
        "per_run": round(making / runs, 3),
        "status": round(status, 2),
        "second_start": round(again, 2),
        "bytes_per_run": round(sum(path.stat().st_blocks * 512 for path in inside) / runs),
        "inodes_per_run": round(len(inside) / runs, 1),
    }
    print(f"{runs} runs made in one process: {making:.1f} s, {1000 * making / runs:.0f} ms each; {finished} finished")
    print(f"sweep status: {status:.2f} s (goal: {GOAL:g} s)")
    print(f"second start: {again:.2f} s (goal: {GOAL:g} s)")
    print(f"{found['bytes_per_run'] / 1024:.0f} KiB on disk and {found['inodes_per_run']} inodes per run")
    return found


def sweep(folder: Path, overrides: list[str], jobs: int) -> float:
    """Seconds of a sweep over seeds, the start of the process included."""
    return timed(["train", "-m", *TINY, *overrides, f"seed=range({jobs})", f"sweep_dir={folder}"])


def timed(arguments: list[str]) -> float:
    """Seconds of a command."""
    quiet = {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT)}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "vaezoo", *arguments],
        env={**os.environ, **quiet},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout[-2000:]}")
    return time.perf_counter() - began


def installed(package: str) -> bool:
    """Whether a package can be imported."""
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


if __name__ == "__main__":
    main()
