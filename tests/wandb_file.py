"""What an offline run of wandb holds, read from its .wandb file: LevelDB's log format around protocol buffers."""

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

BLOCK, HEADER, FILE_HEADER = 32768, 7, 7
FULL, LAST = 1, 4  # kinds of a piece that end a record


class WandbFile(NamedTuple):
    """One run.

    Args:
        run: the run's own record: id, name, group, job type, tags.
        config: by key.
        history: one dictionary per call of ``log``; a key of several parts is joined by ``.``.
        summary: the last values by key.
        exit_code: None if the run never ended.
    """

    run: Any
    config: dict[str, Any]
    history: list[dict[str, Any]]
    summary: dict[str, Any]
    exit_code: int | None

    @property
    def keys(self) -> set[str]:
        """The names that were logged, without wandb's own."""
        return {key for row in self.history for key in row if not key.startswith("_")}


def read(path: Path) -> WandbFile:
    """The file of one run."""
    run, config, summary, history, code = None, {}, {}, [], None
    for record in _records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run = record.run
            config |= _values(run.config.update)
        elif kind == "config":
            config |= _values(record.config.update)
        elif kind == "history":
            history.append(_values(record.history.item))
        elif kind == "summary":
            summary |= _values(record.summary.update)
        elif kind == "exit":
            code = record.exit.exit_code
    return WandbFile(run, config, history, summary, code)


def read_ended(path: Path, patience: float = 30.0) -> WandbFile:
    """The file of a run that was finished; wandb's own process writes the last records a little later."""
    until = time.monotonic() + patience
    while (found := read(path)).exit_code is None and time.monotonic() < until:
        time.sleep(0.05)
    return found


def _values(items: Any) -> dict[str, Any]:
    """Values by key; what wandb splits over several nested keys becomes one dictionary."""
    found: dict[str, Any] = {}
    for item in items:
        name, *rest = [item.key] if item.key else list(item.nested_key)
        value = json.loads(item.value_json)
        if rest:
            found.setdefault(name, {})[".".join(rest)] = value
        else:
            found[name] = value
    return found


def _records(path: Path) -> Iterator[Any]:
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, pieces = path.read_bytes(), FILE_HEADER, b""
    while position + HEADER <= len(data):
        left = BLOCK - position % BLOCK
        if left < HEADER:
            position += left
            continue
        _, size, kind = struct.unpack_from("<IHB", data, position)
        position += HEADER
        pieces += data[position : position + size]
        position += size
        if kind in (FULL, LAST):
            record = Record()
            record.ParseFromString(pieces)
            yield record
            pieces = b""
