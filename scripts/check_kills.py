"""Kills runs at random moments, goes on with them, and compares their weights with those of runs that were not killed.

    python scripts/check_kills.py [--kills 100] [--seed 0] [--only runs|sweeps|ranks]

``runs``: SIGKILL at a random moment, again and again until the run is finished; five variants, with averaged weights
and accumulated gradients. ``sweeps``: two sweeps on one folder of which one is killed and started again; each job must
be trained to its end once. ``ranks``: one of two data-parallel processes is killed. Prints a line per check and returns
1 where one fails. Linux only: runs are forked, so that each try costs a second and not ten.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

import vaezoo.cli
import vaezoo.evaluate.evaluate
import vaezoo.train  # imported before the forks
from vaezoo import runs
from vaezoo.callbacks.checkpoints import Checkpoints
from vaezoo.folder import checkpoint
from vaezoo.sweep import job

QUICK = [
    *("dataset=digits", "trainer.max_epochs=4", "evaluate.k=2"),
    *("trainer.progress_bar=false", "hardware=cpu", "hardware.threads=1"),
]
CODES = [
    *("variant=vq_vae", "encoder.channels=[8,16]", "decoder.channels=[8,16]", "latent=[8,2,2]"),
    *("prior.channels=8", "prior.layers=2", "posterior.codes=16"),
]
CASES = {
    "vae, averaged and accumulated": ["variant=vae", "trainer.ema=0.99", "trainer.accumulate=2"],
    "geco_vae, averaged": ["variant=geco_vae", "trainer.ema=0.99"],
    "vq_vae, averaged": [*CODES, "trainer.ema=0.99"],
    "vae_gan": ["variant=vae_gan", "encoder.channels=[8]", "decoder.channels=[8]"],
    "stacked_autoencoder": ["variant=stacked_autoencoder", "variant.hidden=[16]"],
}


def main() -> int:
    """Runs the checks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="of single runs (default: 100)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=["runs", "sweeps", "ranks"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    Checkpoints.__init__.__defaults__ = (0.0,)  # at each epoch's end, however short
    random.seed(given.seed)
    checks: dict[str, Callable[[], bool]] = {
        "runs": lambda: check_runs(given.kills),
        "sweeps": check_sweeps,
        "ranks": check_ranks,
    }
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        good = [check() for name, check in checks.items() if given.only in (None, name)]
        os.chdir(here)
    return 0 if all(good) else 1


def check_runs(kills: int) -> bool:
    """SIGKILL in every phase of a run, its evaluation and its pictures among them."""
    spans, equal, total = {}, 0, 0
    done: Counter[str] = Counter()
    for name, options in CASES.items():
        begin = time.monotonic()
        assert finish(fork([*QUICK, *options, f"run_dir=whole/{folder(name)}"])) == 0, name
        spans[name] = time.monotonic() - begin
    while total < kills:
        name = list(CASES)[done.total() % len(CASES)]
        shutil.rmtree("cut", ignore_errors=True)
        killed = 0
        while runs.state("cut") not in runs.FINAL:
            pid = fork(["resume=cut"] if checkpoint("cut") else [*QUICK, *CASES[name], "run_dir=cut"])
            if total + killed < kills and random.random() < 0.8:
                time.sleep(random.uniform(0, spans[name]))
                killed += kill(pid)
            elif (code := finish(pid)) != 0:
                print(f"{name}: exit code {code} after {killed} kills", flush=True)
                return False
        whole, cut = (Path(place, runs.WEIGHTS).read_bytes() for place in (f"whole/{folder(name)}", "cut"))
        done[name] += 1
        total += killed
        equal += killed if whole == cut else 0
        if whole != cut:
            print(f"{name}: other weights after {killed} kills", flush=True)
    print(f"runs: {equal} of {total} kills bit-equal; runs of each case: {dict(done)}")
    return equal == total


def check_sweeps() -> bool:
    """Two sweeps share a folder; one is killed in the middle and started again."""
    sweep = ["-m", *QUICK, "variant=vae,beta_vae", "seed=0,1,2", "sweep_dir=sweep"]
    usual = job._train

    def counted(config, checkpoint, leads) -> None:
        usual(config, checkpoint, leads)
        with Path("log").open("a", encoding="utf-8") as file:
            file.write(f"{Path(config.run_dir).name}\n")

    job._train = counted
    first, second = fork(sweep), fork(sweep)
    time.sleep(random.uniform(3, 6))
    killed = kill(first)
    again = fork(sweep)
    codes = [finish(second), finish(again)]
    job._train = usual
    states = Counter(runs.state(path) for path in runs.find("sweep"))
    times = Counter(Path("log").read_text(encoding="utf-8").split())
    good = killed == 1 and codes == [0, 0] and states == {"finished": 6} and set(times.values()) == {1}
    print(f"sweeps: {dict(states)}, {len(times)} jobs trained {sorted(times.values())} times")
    return good


def check_ranks() -> bool:
    """One of two processes dies: one error line, and the run goes on to the weights of one that was not disturbed."""
    command = [sys.executable, "-m", "vaezoo", "train"]
    options = [*QUICK, "hardware=cpu_ddp", "hardware.devices=2", "trainer.max_epochs=60", "callbacks.pictures=false"]
    subprocess.run([*command, *options, "run_dir=whole/ranks"], check=True, capture_output=True)
    process = subprocess.Popen([*command, *options, "run_dir=ranks"], stderr=subprocess.PIPE, encoding="utf-8")
    while not Path("ranks/checkpoints/best.ckpt").is_file():
        time.sleep(0.02)
    child = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()[0])
    os.kill(child, signal.SIGKILL)
    lines = [line for line in process.communicate()[1].splitlines() if "error" in line.lower()]
    state = runs.state("ranks")
    resumed = subprocess.run([*command, "resume=ranks"], capture_output=True).returncode
    equal = Path("ranks", runs.WEIGHTS).read_bytes() == Path("whole/ranks", runs.WEIGHTS).read_bytes()
    print(f"ranks: exit code {process.returncode}, {state}, {len(lines)} error line: {lines[-1:]}; bit-equal {equal}")
    return resumed == 0 and equal and len(lines) == 1


def folder(name: str) -> str:
    """A folder's name without what Hydra would read as a list."""
    return name.split(",")[0]


def fork(arguments: Sequence[str]) -> int:
    """`vaezoo train` in a process of its own, without the imports."""
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    for number in (1, 2):
        os.dup2(os.open("console", os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    code = 99
    try:
        code = vaezoo.cli.main(["train", *arguments])
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        os._exit(code)


def finish(pid: int) -> int:
    """Waits for a process; its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill(pid: int) -> int:
    """SIGKILL; 1 if the process was still there."""
    if os.waitpid(pid, os.WNOHANG)[0]:
        return 0
    os.kill(pid, signal.SIGKILL)
    return int(finish(pid) == -signal.SIGKILL)


if __name__ == "__main__":
    raise SystemExit(main())
