"""The file metrics.csv, which every run writes."""

import csv
import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from vaezoo.files import write
from vaezoo.run_files import columns

SECONDS = 5.0  # between two writes


class MetricsCSV(Logger):
    """Writes metrics.csv: one row per step, one column per metric, with new columns as they come.

    The file is appended to every few seconds and rewritten, whole, when a metric appears that it has no column for.
    On resume the rows from the first step that is logged anew are dropped; the others stay.

    Args:
        path: the file.
        resuming: keep what an earlier part of the run has written.
    """

    def __init__(self, path: Path, resuming: bool = False) -> None:
        super().__init__()
        self.path, self._resuming = path, resuming
        self._columns: list[str] = ["step", "epoch"]
        self._rows: list[dict[str, Any]] = []
        self._started, self._written = False, time.monotonic()
        self._last: dict[str, Any] | None = None  # the last row in the file
        self._end, self._replaced = 0, False  # where that row starts, and whether it is to be written again

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self.path.parent)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: config.yaml holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Adds values at a step; values of the same step share a row."""
        if not self._rows and self._last and self._last["step"] == step:
            self._rows, self._replaced = [self._last], True  # it grows: `save` writes it again in its place
        if self._rows and self._rows[-1]["step"] == step:
            self._rows[-1].update(metrics)
            return
        if time.monotonic() - self._written > SECONDS:
            self.save()  # before a new row, for the last one may still grow
        self._rows.append({"step": step, **metrics})

    @rank_zero_only
    def save(self) -> None:
        """Writes what has been logged since the last time."""
        rows, self._rows, self._written = self._rows, [], time.monotonic()
        if not rows:
            return
        new = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in self._columns]
        if self._started and not new:
            with self.path.open("r+", newline="", encoding="utf-8") as file:
                file.seek(*((self._end, 0) if self._replaced else (0, 2)))
                file.truncate()
                self._write(file, rows)
            return
        kept = _stored(self.path) if self._started or self._resuming else []
        if not self._started:
            kept = [row for row in kept if int(row["step"]) < rows[0]["step"]]
        elif self._replaced:
            kept = kept[:-1]
        self._columns = list(dict.fromkeys([*self._columns, *(name for row in kept[:1] for name in row), *new]))
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerow(self._columns)
        self._write(text, [*kept, *rows])
        write(self.path, text.getvalue())
        self._started = True

    def _write(self, file: TextIO, rows: list[dict[str, Any]]) -> None:
        """Adds rows, and remembers the last one and where it starts."""
        writer = csv.DictWriter(file, self._columns, lineterminator="\n")
        writer.writerows(rows[:-1])
        self._end, self._last, self._replaced = file.tell(), rows[-1], False
        writer.writerow(rows[-1])

    def finalize(self, status: str) -> None:
        """Writes the rest."""
        self.save()


def _stored(path: Path) -> list[dict[str, str]]:
    """The rows of a metrics.csv, less part of a line that a process that was killed may have left."""
    if not columns(path):
        return []
    text = path.read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])))
