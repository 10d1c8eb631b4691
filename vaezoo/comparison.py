"""Runs side by side: one row per configuration, with metrics that may be compared and nothing else."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean, stdev
from typing import Any

from vaezoo import configurations, measured
from vaezoo.measured import Metric, Protocol
from vaezoo.runs import RunRecord

COLLAPSED = 0.01  # nats of rate, below which codes say nothing
DEAD = 0.1  # share of the codes that the perplexity should reach
LEVEL = 0.05  # of the test of significance
SEEDS = 3  # in common, with which the test begins to find differences
RELAXED = "not a likelihood"  # how the remark begins that numbers are there but no nats


@dataclass
class Row:
    """One configuration: runs that differ in the seed only.

    Args:
        key: 8 hexadecimal digits that name the configuration.
        label: the variant and what differs from its other rows; unlike all other labels.
        name: the same within the row's group, whose dataset and likelihood it leaves out.
        runs: by seed.
        settings: what the runs share, as values of dotted keys.
        values: for each metric one value per run; None where a run has none.
        reasons: why there is no value, for metrics that no run of the row has; and why a value is not to be trusted.
        partly: why some finished runs have no value, for metrics that others have.
        flags: what a reader must know before trusting the numbers.
    """

    key: str
    label: str
    runs: list[RunRecord]
    name: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    values: dict[str, list[float | None]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    partly: dict[str, str] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)

    @property
    def variant(self) -> str:
        """The variant of all runs."""
        return self.runs[0].variant

    @property
    def n(self) -> int:
        """The number of finished runs."""
        return sum(run.state == "finished" for run in self.runs)

    @property
    def failed(self) -> int:
        """The number of runs that are not finished, for whatever reason."""
        return len(self.runs) - self.n

    @property
    def faults(self) -> list[str]:
        """The damaged file of each broken run, and what is wrong with it."""
        return [f"{run.path.name}: {run.reason}" for run in self.runs if run.state == "broken"]

    def measured(self, metric: str) -> dict[int, float]:
        """The values by seed, of runs that have one."""
        pairs = zip(self.runs, self.values.get(metric, ()), strict=False)
        return {run.seed: value for run, value in pairs if value is not None}

    def mean(self, metric: str) -> float | None:
        """Mean over the runs that have the metric; None where none has."""
        found = [value for value in self.values.get(metric, ()) if value is not None]
        return fmean(found) if found else None

    def sd(self, metric: str) -> float | None:
        """Standard deviation over runs (with n - 1); None of less than two."""
        found = [value for value in self.values.get(metric, ()) if value is not None]
        return stdev(found) if len(found) > 1 else None


@dataclass
class Group:
    """Rows whose nats may be compared.

    Args:
        dataset: the dataset, with what makes its values other than usual, such as ``binarise=dynamic``.
        likelihood: the likelihood; ``given labels`` follows where p(x|c) is measured.
        protocol: split, images, K, and samples that scores were computed from.
        rows: in the order of the comparison.
    """

    dataset: str
    likelihood: str
    protocol: Protocol
    rows: list[Row]

    @property
    def title(self) -> str:
        """Dataset, likelihood and how it was measured."""
        p = self.protocol
        how = f"{p.split} split, {p.images:,} images, K={p.k}" if p.images else "not evaluated"
        return f"{self.dataset}, {self.likelihood}: {how}"


@dataclass
class Standing:
    """How rows stand by one metric.

    Args:
        best: the row with the best mean.
        ties: rows that are not significantly worse.
        untested: rows that have the metric, but fewer than ``SEEDS`` seeds in common with the best.
    """

    best: Row
    ties: list[Row]
    untested: list[Row]


class Comparison:
    """Rows, what is known about their metrics, and what distinguishes them; made by :func:`compare`."""

    def __init__(self, rows: list[Row], groups: list[Group], metrics: dict[str, Metric]) -> None:
        self.rows = rows
        self.metrics = metrics
        self._groups = groups

    def groups(self) -> list[Group]:
        """Rows by dataset and likelihood: nats of others cannot be compared."""
        return self._groups

    @cached_property
    def differences(self) -> dict[str, list[Any]]:
        """Dotted configuration keys that differ between rows, with the value of each row (None: it has none)."""
        return configurations.differences([row.settings for row in self.rows])

    def better(self, metric: str, rows: Sequence[Row] | None = None) -> Standing | None:
        """The row with the best mean, and those that are not significantly worse.

        The test is a two-sided paired t-test at 5 % over the seeds that a row shares with the best one, without a
        correction for the number of rows. Time and memory are not tested.

        Args:
            metric: a key of ``metrics``.
            rows: rows among which the metric is comparable, those of one group; by default all.

        Returns:
            Standing: None where no row has the metric, or neither end of it is the good one.
        """
        about = self.metrics[metric]
        means = [(row, mean) for row in (self.rows if rows is None else rows) if (mean := row.mean(metric)) is not None]
        means = [(row, mean) for row, mean in means if metric not in row.reasons]
        if not means or about.better is None or about.comparable is False:
            return None
        best = (min if about.better == "lower" else max)(means, key=lambda pair: pair[1])[0]
        standing = Standing(best, [], [])
        for row, _ in means if about.tested else ():
            p = None if row is best else paired(best.measured(metric), row.measured(metric))
            if row is not best and (p is None or p >= LEVEL):
                (standing.untested if p is None else standing.ties).append(row)
        return standing


def compare(records: Sequence[RunRecord]) -> Comparison:
    """Puts runs side by side.

    Args:
        records: runs in any state, of any datasets.
    """
    gathered = configurations.gather(records)
    names = configurations.labels([shared for shared, _ in gathered])
    rows = [
        Row(configurations.key(shared), label, runs, settings=shared)
        for (shared, runs), label in zip(gathered, names, strict=True)
    ]
    rows.sort(key=lambda row: (row.variant, natural(row.label)))
    groups = _groups(rows)
    for group in groups:
        for row, name in zip(group.rows, configurations.labels([row.settings for row in group.rows]), strict=True):
            row.name = name
            _measure(row, group.protocol)
    metrics = measured.metrics(
        (name for row in rows for name in row.values), [group.protocol for group in groups], _one_machine(rows)
    )
    return Comparison(rows, groups, metrics)


def paired(a: Mapping[int, float], b: Mapping[int, float]) -> float | None:
    """Two-sided p-value of the paired t-test over shared keys; None where there are fewer than ``SEEDS``."""
    gaps = [a[seed] - b[seed] for seed in a if seed in b]
    if len(gaps) < SEEDS:
        return None
    mean, spread = fmean(gaps), stdev(gaps)
    if spread == 0:
        return 1.0 if mean == 0 else 0.0
    from scipy.special import stdtr

    return float(2 * stdtr(len(gaps) - 1, -abs(mean) / (spread / math.sqrt(len(gaps)))))


def _measure(row: Row, wanted: Protocol) -> None:
    """Fills in values, reasons and flags."""
    numbers, reasons = zip(*(measured.values(run, wanted) for run in row.runs), strict=True)
    row.values = {name: [found.get(name) for found in numbers] for found in numbers for name in found}
    for why in reasons:
        for name, text in why.items():
            if name not in row.values or text.startswith(RELAXED):
                row.reasons.setdefault(name, text)
    row.partly = {name: why for name in row.values if (why := _partly(row, name, reasons))}
    doubts = _counted(row, Counter(text for run in row.runs for text in _doubts(run)))
    for name in (name for name in row.values if doubts and name not in measured.UNDOUBTED):
        row.reasons.setdefault(name, doubts[0])
    row.flags = [*doubts, *_flags(row)]


def _partly(row: Row, name: str, reasons: Sequence[Mapping[str, str]]) -> str:
    """Which finished runs lack a metric that others have, and why."""
    lacking: dict[str, list[int]] = {}
    for run, value, why in zip(row.runs, row.values[name], reasons, strict=True):
        if run.state == "finished" and value is None:
            lacking.setdefault(why.get(name, "not measured"), []).append(run.seed)
    return "; ".join(f"seed {', '.join(map(str, seeds))}: {why}" for why, seeds in lacking.items())


def _doubts(run: RunRecord) -> list[str]:
    """What makes the numbers of a run not to be trusted, as its evaluation found."""
    return run.results.get("flags") or [] if run.state == "finished" else []


def _counted(row: Row, found: Mapping[str, int]) -> list[str]:
    return [text if n == len(row.runs) else f"{text} ({n} of {len(row.runs)})" for text, n in found.items() if n]


def _flags(row: Row) -> list[str]:
    finished = [run for run in row.runs if run.state == "finished"]
    checks = {"posterior collapse": _collapsed, "dead codes": _dead_codes, "not finite": _not_finite}
    flags = _counted(row, {text: sum(map(check, row.runs)) for text, check in checks.items()})
    evaluated = sum(bool(run.results) for run in finished)
    if 0 < evaluated < len(finished):
        flags.append(f"{len(finished) - evaluated} of {len(finished)} finished seeds not evaluated")
    if relaxed := next((text for text in row.reasons.values() if text.startswith(RELAXED)), None):
        flags.append(relaxed)
    if any(n > 1 for n in Counter(run.seed for run in finished).values()):
        flags.append("a seed more than once")
    states = Counter(run.state for run in row.runs if run.state != "finished")
    return flags + [f"{n} of {len(row.runs)} {state}" for state, n in states.items()]


def _collapsed(run: RunRecord) -> bool:
    rate = run.results.get("rate")
    return (rate is not None and rate < COLLAPSED) or run.results.get("active_units") == 0


def _dead_codes(run: RunRecord) -> bool:
    quantizer = run.config.get("posterior") or {}
    codes = quantizer.get("codes") or math.prod(quantizer.get("levels") or [2 ** quantizer.get("bits", 0)])
    measures = run.results.get("measures") or {}
    perplexities = [value for name, value in measures.items() if name.startswith("perplexity") and value is not None]
    return codes > 1 and any(value < DEAD * codes for value in perplexities)


def _not_finite(run: RunRecord) -> bool:
    stopped = run.state == "failed" and (run.reason or "").startswith("NotFiniteError")
    return stopped or any(text.startswith("the result is") for text in run.results.get("reasons", {}).values())


def _groups(rows: Sequence[Row]) -> list[Group]:
    """Rows by dataset, likelihood and whether p(x) or p(x|c) is measured."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((_dataset(row), _likelihood(row)), []).append(row)
    for key in [key for key, members in found.items() if not any(run.config for row in members for run in row.runs)]:
        known = next((other for other in found if other != key and other[0].split(" ")[0] == key[0]), None)
        if known:  # jobs that have not started stand beside those that have
            found[known] += found.pop(key)
    return [
        Group(*key, measured.protocol(run for row in members for run in row.runs), members)
        for key, members in sorted(found.items())
    ]


def _dataset(row: Row) -> str:
    usual = {"binarise": "none", "dequantise": False, "resize": None, "crop": None, "path": None}
    given = {name: row.settings.get(f"dataset.{name}") for name in usual}
    changed = [f"{name}={given[name]}" for name in usual if given[name] not in (None, usual[name])]
    name = row.runs[0].dataset or "unknown data"
    return f"{name} ({', '.join(changed)})" if changed else name


def _likelihood(row: Row) -> str:
    shapes: dict[str, Any] = next((run.record["shapes"] for run in row.runs if run.record.get("shapes")), {})
    return (row.runs[0].likelihood or "no likelihood") + (" given labels" if shapes.get("condition") else "")


def _one_machine(rows: Sequence[Row]) -> bool:
    names = ("accelerator", "device", "threads", "processes", "precision")
    finished = [run.record.get("hardware") or {} for row in rows for run in row.runs if run.state == "finished"]
    return len({tuple(hardware.get(name) for name in names) for hardware in finished}) == 1


def natural(label: str) -> list[tuple[int, float, str]]:
    """A key by which ``beta=2`` comes before ``beta=16``."""
    parts = re.findall(r"\d+(?:\.\d+)?(?:e-?\d+)?|[^\d]+", label)
    return [(0, float(part), "") if part[0].isdigit() else (1, 0.0, part) for part in parts]
