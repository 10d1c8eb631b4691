"""How a sweep in the pool goes: a live table in a terminal, plain lines elsewhere."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table as Rows

from vaezoo.runs import FINAL
from vaezoo.sweep.crew import Task

SECONDS = 2.0  # between two looks at the running jobs
ROWS = 40  # of the final table; a longer one says less
ORDER = ("running", "failed", "broken", "dead", "interrupted", "finished", "pruned", "queued")


class Table:
    """Shows tasks while they run and at the end.

    Args:
        place: the sweep's folder.
        tasks: their fields change.
        live: False for a line per job in a terminal, too.
    """

    def __init__(self, place: Path, tasks: Sequence[Task], live: bool = True) -> None:
        self.place, self.tasks = place, tasks
        self.console = Console()
        self._lines = not (live and self.console.is_terminal)
        if not self.console.is_terminal:  # names whole: somebody reads the file later
            self.console.width = 60 + max((len(task.place.name) for task in tasks), default=0)
        self.live = Live(console=self.console, auto_refresh=False, transient=True)
        self._told = {task.place for task in tasks if task.state in FINAL}
        self._before = len(self._told)
        self._looked = 0.0

    def __enter__(self) -> "Table":
        before = f", {self._before} finished before" if self._before else ""
        if len(self.tasks) > 1:  # a search starts its trials one by one
            self.console.print(f"{len(self.tasks)} jobs in {self.place}{before}", soft_wrap=True, highlight=False)
        if not self._lines:
            self.live.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.live.stop()
        if kind is None or issubclass(kind, SystemExit):
            self._tell()
            if len(self.tasks) > 1:
                self.console.print(self._rows(ROWS))

    def start(self, task: Task) -> None:
        """Says which job begins."""
        self._say(f"{self._count(len(self._told) + 1, task)} {task.place.name} ...")

    def show(self) -> None:
        """Called often; looks now and then."""
        self._tell()
        if self._lines or time.monotonic() - self._looked < SECONDS:
            return
        self._looked = time.monotonic()
        for task in self.tasks:
            if task.state == "running":
                task.look()
        self.live.update(self._rows(max(5, self.console.height - 8)), refresh=True)

    def _tell(self) -> None:
        """One line for each job that has ended, where there is no live table."""
        for task in self.tasks:
            if task.place in self._told or task.state in ("queued", "running"):
                continue
            self._told.add(task.place)
            if self._lines:
                good = task.state == "finished"
                how = f"best -ELBO {_number(task.metric)}" if good else f"{task.state}: {task.reason}"
                line = f"{self._count(len(self._told), task)} {task.place.name} {_clock(task.seconds)} {how}"
                self._say(", ".join(filter(None, [line, self._left()])))

    def _count(self, number: int, task: Task) -> str:
        if len(self.tasks) == 1:
            return f"job {task.number + 1}"
        return f"{number:>{len(str(len(self.tasks)))}} of {len(self.tasks)}"

    def _say(self, line: str) -> None:
        self.console.print(line, soft_wrap=True, highlight=False, markup=False)

    def _rows(self, limit: int) -> Rows:
        counts = Counter(task.state for task in self.tasks)
        title = ", ".join(f"{counts[state]} {state}" for state in ORDER if counts[state])
        rows = Rows("job", "state", "epoch", "best -ELBO", "time", "ETA", title=title, caption=self._left())
        shown = sorted(self.tasks, key=lambda task: ORDER.index(task.state) if task.state in ORDER else 0)
        for task in shown[:limit]:
            epoch = f"{task.epoch}/{task.epochs}"
            rows.add_row(task.place.name, task.state, epoch, _number(task.metric), _clock(task.seconds), _eta(task))
        if len(shown) > limit:
            rows.add_row(f"and {len(shown) - limit} more")
        return rows

    def _left(self) -> str | None:
        """How long the whole sweep will take."""
        done = [task.seconds for task in self.tasks if task.state in FINAL and task.started is not None]
        running = sum(task.state == "running" and not task.elsewhere for task in self.tasks)
        queued = sum(task.state == "queued" for task in self.tasks)
        if not done or not (queued or running):
            return None
        return f"about {_clock(sum(done) / len(done) * (queued + running / 2) / max(1, running))} to go"


def _eta(task: Task) -> str:
    trained = task.epoch - task.first
    if task.state != "running" or trained < 1:
        return ""
    return _clock(task.seconds / trained * (task.epochs - task.epoch))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
