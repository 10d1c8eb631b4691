"""Processes for tasks: started one per slot, watched, and stopped without losing what they have done."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from vaezoo import runs
from vaezoo.sweep.job import ADVICE, note
from vaezoo.sweep.metric import optimized_metric
from vaezoo.sweep.slots import Slot

CONSOLE = "console.txt"
TICK = 0.1  # seconds between two looks at the processes
STOPPING = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Task:
    """One job of the pool.

    Args:
        place: its folder.
        overrides: what the sweep makes of it.
        extra: overrides that the pool adds.
        choices: option of each group.
        seed: of the run.
        epochs: how long it trains.
        state: as `vaezoo.runs.state`.
        metric: the best validation so far.
        epoch: how many epochs are over.
        started: when its process started, seconds of the monotonic clock; None before.
        seconds: how long its process has run.
        first: how many epochs were over when it started.
        elsewhere: another process was at it.
        reason: why it did not finish.
        number: its place in the order of the sweep.
    """

    place: Path
    overrides: list[str]
    extra: list[str]
    choices: dict[str, Any]
    seed: int
    epochs: int
    state: str = "queued"
    metric: float | None = None
    epoch: int = 0
    started: float | None = None
    seconds: float = 0.0
    first: int = 0
    elsewhere: bool = False
    reason: str | None = None
    number: int = 0

    def look(self) -> None:
        """Reads how far the run is."""
        self.metric = optimized_metric(self.place)
        epochs = [e for e in runs.columns(self.place).get("epoch", ()) if e is not None]
        self.epoch = int(max(epochs, default=-1)) + 1

    def command(self) -> list[str]:
        """How its process is started."""
        from vaezoo import train_entry

        place = str(self.place).replace("\\", "\\\\").replace("'", "\\'")
        own = ["trainer.progress_bar=false", f"run_dir='{place}'"]
        return [sys.executable, train_entry.__file__, *self.overrides, *self.extra, *own]


class Crew:
    """Works through tasks.

    Args:
        tasks: in the order in which they start; their fields are kept up to date.
        slots: one process each at a time.
        show: called often.
    """

    def __init__(self, tasks: Sequence[Task], slots: Sequence[Slot], show: Callable[[], None]) -> None:
        self.show = show
        self.waiting = [task for task in tasks if task.state not in runs.FINAL]
        self.free = list(slots)
        self.busy: dict[int, tuple[Slot, Task, subprocess.Popen]] = {}
        self.signal: int | None = None
        for task in tasks:
            if task.state in runs.FINAL:
                task.look()

    def work(self) -> None:
        """Runs everything.

        Raises:
            SystemExit: with 128 + the number of the signal that stopped it.
        """
        with self._signals():
            while self.busy or (self.waiting and self.signal is None):
                self._start()
                time.sleep(TICK)
                self._watch()
                self.show()
        if self.signal is not None:
            raise SystemExit(128 + self.signal)

    def _start(self) -> None:
        """Fills the free slots with tasks that no other process is at."""
        for task in list(self.waiting):
            if not self.free or self.signal is not None:
                return
            if runs.held(task.place):
                task.elsewhere, task.state = True, "running"
                continue
            self.waiting.remove(task)
            if task.elsewhere and (task.started is not None or runs.state(task.place) in runs.FINAL):
                self._settle(task)
                continue
            slot = self.free.pop(0)
            process = _process(task, slot)
            self.busy[process.pid] = slot, task, process

    def _watch(self) -> None:
        for pid, (slot, task, process) in list(self.busy.items()):
            task.seconds = time.monotonic() - (task.started or 0.0)
            code = process.poll()
            if code is None:
                continue
            del self.busy[pid]
            self.free.append(slot)
            if code:
                _kill(pid)  # what is left of its group, e.g. the other processes of DDP
            self._settle(task, code)

    def _settle(self, task: Task, code: int = 0) -> None:
        """Finds out how a task ended."""
        task.look()
        found = runs.read(task.place)
        task.state, task.reason = found.state, found.reason
        if task.state == "running":  # another launcher's process had waited for this one, and tries now
            task.elsewhere = True
            self.waiting.append(task)
            return
        if task.state in ("queued", "dead") and self.signal is None:
            task.state, task.reason = "failed", _cause(task.place, code)
            note(task.place, status=task.state, reason=task.reason)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def stop(number: int, frame: FrameType | None) -> None:
            harder = self.signal is not None
            self.signal = self.signal or number
            for pid, (_, _, process) in self.busy.items():
                if harder:
                    _kill(pid)
                else:
                    process.send_signal(signal.SIGTERM)  # only it: workers of its data loader must live until it stops

        before: dict[int, Any] = {}
        with suppress(ValueError):  # not in the main thread, where no signal arrives
            before = {number: signal.signal(number, stop) for number in STOPPING}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _process(task: Task, slot: Slot) -> subprocess.Popen:
    task.look()
    task.state, task.started, task.first = "running", time.monotonic(), task.epoch
    if (task.place / CONSOLE).is_symlink():
        (task.place / CONSOLE).unlink()
    with (task.place / CONSOLE).open("a", encoding="utf-8") as console:
        return subprocess.Popen(
            task.command(),
            env={**os.environ, "PYTHONUNBUFFERED": "1", **slot.environment},
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches this process only, which then stops the others
        )


def _kill(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _cause(place: Path, code: int) -> str:
    """Why a process ended that could not say it itself."""
    if code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name}" + (f"; if memory ran out, {ADVICE}" if name == "SIGKILL" else "")
    lines = (place / CONSOLE).read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), f"exit code {code}")
