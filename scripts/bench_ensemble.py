"""Speed of 8 models trained at once, against the same 8 one after the other and shared out among 2 processes.

    python scripts/bench_ensemble.py [--data ROOT] [--rounds 5] [--batches 390] [--members 8] [--quick]

Prints a table and, as its last line, one JSON object. Every side trains the same small VAEs on MNIST (one hidden layer
of 64, batches of 128, default trainer and optimizer) for two epochs each, with a validation after each, and writes
metrics and weights; nobody evaluates, draws pictures or writes checkpoints. In each round the sides run one after the
other in an order that rotates. Processes are warm: what is imported and the decoded data do not count.

- ensemble: ``hardware.ensemble=8`` in one process with all threads
- sequential: 8 calls of :func:`vaezoo.train` in one process with all threads
- two_processes: 4 calls in each of 2 processes with half of the threads each

A ratio is the median over the rounds of (seconds of the other side) / (seconds of the ensemble): ``..._whole`` of the
whole calls, set-up and validation included; ``..._training`` of the training alone, as run.json counts it.
"""

import argparse
import json
import logging
import multiprocessing
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import torch

import vaezoo

GOALS = {"sequential": 1.6, "two_processes": 1.2}
HIDDEN, BATCH = 64, 128
Seconds = tuple[float, float]  # of the whole, and of the training alone


def overrides(given: argparse.Namespace, threads: int) -> list[str]:
    """What all sides have in common."""
    return [
        *("variant=vae", "dataset=mnist", f"dataset.root={given.data}", f"dataset.batch_size={BATCH}"),
        *("likelihood=bernoulli", "likelihood.allow_relaxed=true"),
        *(f"{part}.hidden=[{HIDDEN}]" for part in ("encoder", "decoder")),
        *("trainer.max_epochs=2", f"trainer.limit_train_batches={given.batches}", "trainer.progress_bar=false"),
        *("evaluate.k=0", "callbacks=none", "hardware=cpu", f"hardware.threads={threads}"),
    ]


def trained(chosen: list[str], folder: Path) -> Seconds:
    """Seconds of one call of :func:`vaezoo.train`."""
    run_dir = folder / str(time.monotonic_ns())
    begin = time.perf_counter()
    vaezoo.train(vaezoo.compose([*chosen, f"run_dir={run_dir}"]))
    return time.perf_counter() - begin, json.loads((run_dir / "run.json").read_text(encoding="utf-8"))["seconds"]


def each(chosen: list[str], seeds: range, folder: Path) -> Seconds:
    """Seconds of one run per seed, one after the other."""
    times = [trained([*chosen, f"seed={seed}"], folder) for seed in seeds]
    return sum(whole for whole, _ in times), sum(training for _, training in times)


def work(pipe: Connection, chosen: list[str], folder: Path) -> None:
    """A process that trains the seeds it is sent, until it is sent None."""
    quiet()
    while (seeds := pipe.recv()) is not None:
        pipe.send(each(chosen, seeds, folder))


def shared_out(pipes: list[Connection], members: int) -> Seconds:
    """Seconds of one run per seed, shared out among the processes behind the pipes."""
    begin, share = time.perf_counter(), members // len(pipes)
    for k, pipe in enumerate(pipes):
        pipe.send(range(k * share, (k + 1) * share))
    training = max(pipe.recv()[1] for pipe in pipes)
    return time.perf_counter() - begin, training


def quiet() -> None:
    """No word from Lightning."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")


def measure(given: argparse.Namespace, folder: Path) -> dict[str, list[Seconds]]:
    """Seconds of each side in each round."""
    context, pipes, processes = multiprocessing.get_context("spawn"), [], []
    for _ in range(2):
        ours, theirs = context.Pipe()
        chosen = overrides(given, max(1, given.threads // 2))
        processes.append(context.Process(target=work, args=(theirs, chosen, folder), daemon=True))
        processes[-1].start()
        pipes.append(ours)
    chosen = overrides(given, given.threads)
    sides: dict[str, Callable[[], Seconds]] = {
        "ensemble": lambda: trained([*chosen, f"hardware.ensemble={given.members}"], folder),
        "sequential": lambda: each(chosen, range(given.members), folder),
        "two_processes": lambda: shared_out(pipes, given.members),
    }
    trained([*chosen, "trainer.limit_train_batches=2", "hardware.ensemble=2"], folder)  # warm up
    trained([*chosen, "trainer.limit_train_batches=2"], folder)
    shared_out(pipes, 2)
    times: dict[str, list[Seconds]] = {name: [] for name in sides}
    names = list(sides)
    for k in range(given.rounds):
        for name in names[k % 3 :] + names[: k % 3]:
            times[name].append(sides[name]())
            print(f"  round {k + 1}  {name:16}{times[name][-1][0]:8.2f} s", flush=True)
    for pipe, process in zip(pipes, processes, strict=True):
        pipe.send(None)
        process.join()
    return times


def main() -> None:
    root = os.environ.get("VAEZOO_DATA", "data")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(root), help="folder with MNIST (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=390, help="of an epoch (default: 390, all of them)")
    parser.add_argument("--members", type=int, default=8, help="an even number (default: 8)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="in all (default: one per core)")
    parser.add_argument("--quick", action="store_true", help="one round of 3 batches, to see that everything runs")
    given = parser.parse_args()
    given.data = given.data.absolute()
    if given.members < 2 or given.members % 2:
        parser.error(f"--members={given.members} must be even")
    if given.quick:
        given.rounds, given.batches = 1, 3
    quiet()
    print(f"torch {torch.__version__}, {given.threads} threads in all, {given.members} models", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        times = measure(given, Path(folder))
    images = given.members * 2 * given.batches * BATCH
    found: dict[str, float | None] = {}
    print(f"\n{'side':16}{'whole s':>10}{'training s':>12}{'images/s':>10}{'whole x':>9}{'training x':>12}  goal")
    for name, seconds in times.items():
        whole, training = (median(values) for values in zip(*seconds, strict=True))
        ratios = [[b / a for a, b in zip(p, q, strict=True)] for p, q in zip(times["ensemble"], seconds, strict=True)]
        x, y = (median(values) for values in zip(*ratios, strict=True))
        goal = f">= {GOALS[name]}" if name in GOALS else ""
        print(f"{name:16}{whole:10.2f}{training:12.2f}{images / training:10.0f}{x:9.2f}{y:12.2f}  {goal}")
        if name in GOALS:
            found |= {f"vs_{name}_whole": round(x, 3), f"vs_{name}_training": round(y, 3)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
