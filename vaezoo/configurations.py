"""Which runs differ in their seed only, what else distinguishes them, and what to call them."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from vaezoo.identity import MACHINE
from vaezoo.runs import RunRecord

PARTS = ("variant", "encoder", "decoder", "posterior", "prior", "likelihood", "dataset")
# Where and how a run is computed and watched, but not what is computed.
IGNORED = (
    *MACHINE,
    *("seed", "evaluate", "hardware", "hydra", "sweep"),
)
IGNORED_KEYS = (
    *(f"dataset.{key}" for key in ("root", "source", "workers", "eval_batch_size", "in_memory")),
    *(f"trainer.{key}" for key in ("progress_bar", "log_every_n_batches", "check_val_every_n_epoch")),
)
COUNTED = ("precision", "devices", "num_nodes")  # what of `hardware` changes numbers
LONGEST = 48  # characters of what follows the variant in a label


def settings(run: RunRecord) -> dict[str, Any]:
    """What a run computes, as values of dotted keys; `prior` is the name of the prior, `prior.x` an argument of it."""
    chosen = {**run.job.get("choices", {}), **run.config.get("choices", {})}
    flat: dict[str, Any] = {part: chosen[part] for part in PARTS if chosen.get(part) not in (None, "none")}
    if not run.config:  # a job that has not started
        return flat | {name: yaml.safe_load(value) for name, value in sorted(_changed(run).items())}
    for key, value in run.config.items():
        if key not in IGNORED and not key.startswith("_"):
            _flatten(key, value, flat)
    machine = run.config.get("hardware") or {}
    flat |= {f"hardware.{name}": machine[name] for name in COUNTED if name in machine}
    if flat.get("dataset.seed") == run.config.get("seed"):
        flat.pop("dataset.seed", None)
    return {key: value for key, value in flat.items() if key not in IGNORED_KEYS}


def gather(runs: Sequence[RunRecord]) -> list[tuple[dict[str, Any], list[RunRecord]]]:
    """Runs that differ in the seed only, with what they share.

    A job that has not started has no configuration yet; it belongs to the runs with the same overrides.
    """
    found: dict[str, tuple[dict[str, Any], list[RunRecord]]] = {}
    by_overrides: dict[str, str] = {}
    for run in sorted(runs, key=lambda run: not run.config):  # those with a configuration first
        shared, asked = settings(run), _canonical([run.variant, _changed(run)])
        key = _canonical(shared)
        if not run.config:
            key = by_overrides.get(asked, key)
        by_overrides.setdefault(asked, key)
        found.setdefault(key, (shared, []))[1].append(run)
    return [(shared, sorted(same, key=lambda run: (run.seed, str(run.path)))) for shared, same in found.values()]


def key(shared: Mapping[str, Any]) -> str:
    """8 hexadecimal digits that name a configuration."""
    return hashlib.sha256(_canonical(shared).encode()).hexdigest()[:8]


def differences(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The keys whose values are not the same in all rows, with the value of each row; None where it has none."""
    keys = dict.fromkeys(key for row in rows for key in row)
    columns = {key: [row.get(key) for row in rows] for key in keys}
    return {key: column for key, column in columns.items() if len(set(map(_canonical, column))) > 1}


def labels(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A short name for each row, unlike all others: the variant and what differs from the variant's other rows."""
    named: dict[int, str] = {}
    for variant in dict.fromkeys(row.get("variant", "") for row in rows):
        members = [index for index, row in enumerate(rows) if row.get("variant", "") == variant]
        tails = _tails([rows[index] for index in members])
        for index, tail in zip(members, tails, strict=True):
            named[index] = f"{variant or 'unknown'} {tail}".rstrip()
    return [named[index] for index in range(len(rows))]


def _tails(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What distinguishes rows of one variant."""
    varied = differences(rows)
    for part in PARTS:  # arguments of a part follow from which part it is
        if part in varied and part != "variant":
            varied = {key: values for key, values in varied.items() if not _follows(key, part, values)}
    ordered = sorted(varied, key=lambda key: (key not in PARTS, not key.startswith("variant."), key))
    tails = _written(ordered, varied, len(rows))
    if max(map(len, tails)) > LONGEST:
        tails = _written(_enough(ordered, varied, len(rows)), varied, len(rows))
    times = Counter(tails)
    return [f"{t} {key(row)[:4]}".strip() if times[t] > 1 else t for t, row in zip(tails, rows, strict=True)]


def _follows(key: str, part: str, values: Sequence[Any]) -> bool:
    return key.startswith(f"{part}.") and None in values


def _enough(ordered: Sequence[str], varied: Mapping[str, Sequence[Any]], n: int) -> list[str]:
    """As few of the keys, in their order, as tell all rows apart."""
    kept: list[str] = []
    told = 1
    for key in ordered:
        seen = len(set(_written([*kept, key], varied, n)))
        if seen > told:
            kept, told = [*kept, key], seen
    return kept


def _written(keys: Sequence[str], varied: Mapping[str, Sequence[Any]], n: int) -> list[str]:
    last = {key: key.rpartition(".")[2] for key in keys}
    short = {key: name if list(last.values()).count(name) == 1 else key for key, name in last.items()}
    heads = {key: "" if key == "dataset" else f"{name}=" for key, name in short.items()}  # its name says what it is
    return [" ".join(f"{heads[key]}{_text(varied[key][row])}" for key in keys) for row in range(n)]


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    return {None: "none", True: "true", False: "false"}.get(value, str(value)) if _hashable(value) else str(value)


def _hashable(value: Any) -> bool:
    return isinstance(value, bool | str) or value is None


def _flatten(prefix: str, value: Any, into: dict[str, Any]) -> None:
    if not isinstance(value, Mapping):
        integral = isinstance(value, float) and value.is_integer() and not prefix.startswith("trainer.limit_")
        into[prefix] = int(value) if integral else value  # beta=4.0 is beta=4, but 1.0 is all batches and 1 is one
        return
    for key, inner in value.items():
        if key not in ("_partial_", "_convert_", "_recursive_") and (key != "_target_" or prefix not in PARTS):
            _flatten(f"{prefix}.{key}", inner, into)


def _changed(run: RunRecord) -> dict[str, str]:
    """What a run's overrides set, as written, but for the seed and what does not change what is computed."""
    asked = run.config.get("overrides") or run.job.get("overrides") or []
    pairs = (text.lstrip("+~").partition("=")[::2] for text in asked)
    return {name: value for name, value in pairs if re.split(r"[./@]", name)[0] not in IGNORED}


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
