"""What a run's files say about each metric, and which metrics may be compared."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from vaezoo.runs import RunRecord

NATS, DATA = "within likelihood and dataset", "within dataset"
EVALUATED = ("nll", "bits_per_dim", "elbo", "rate", "distortion", "squared_error", "active_units", "mutual_information")
OF_K = ("nll", "bits_per_dim")
SCORES = ("fid_clf", "kid_clf", "fid_inception")


@dataclass(frozen=True)
class Metric:
    """A number that runs are compared by.

    Args:
        name: key of :attr:`vaezoo.comparison.Comparison.metrics`.
        label: what a reader sees; an NLL states its K.
        unit: ``nats``, ``MiB``, ..., or empty.
        better: ``lower``, ``higher``, or None where neither end is the good one.
        comparable: True, False, or between which rows it is: ``within likelihood and dataset``, ``within dataset``.
        tested: whether differences between seeds say anything; those of time and memory are the machine's.
    """

    name: str
    label: str
    unit: str = ""
    better: str | None = None
    comparable: bool | str = True
    tested: bool = True


KNOWN = {
    metric.name: metric
    for metric in (
        Metric("nll", "NLL", "nats", "lower", NATS),
        Metric("bits_per_dim", "bits/dim", "bits", "lower", NATS),
        Metric("elbo", "ELBO", "nats", "higher", NATS),
        Metric("rate", "rate", "nats", None, NATS),
        Metric("distortion", "distortion", "nats", None, NATS),
        Metric("squared_error", "squared error", "", "lower", DATA),
        Metric("active_units", "active units", "", None),
        Metric("mutual_information", "mutual information", "nats", None, DATA),
        Metric("parameters", "parameters", "", None),
        Metric("images_per_second", "images/s", "1/s", "higher", False, False),
        Metric("peak_memory_mb", "peak memory", "MiB", "lower", False, False),
        Metric("seconds", "training time", "s", "lower", False, False),
    )
}
COSTS = ("images_per_second", "peak_memory_mb", "seconds")  # comparable on one machine only
UNDOUBTED = (*COSTS, "parameters")  # true of a run whatever it has learned


class Protocol(NamedTuple):
    """How the runs of a group were measured; ``images`` is 0 where none was."""

    split: str
    images: int
    k: int
    samples: int = 0  # that the scores of samples were computed from


def protocol(runs: Iterable[RunRecord]) -> Protocol:
    """How most runs were measured; of equals the one with most images and samples of the test split."""
    every = [found for run in runs for found in evaluations(run)]
    counts = Counter(map(_protocol, every))
    if not counts:
        return Protocol("test", 0, 0)
    most = max(counts, key=lambda p: (counts[p], p.split == "test", p.images, p.k))
    judged = Counter(scores["n"] for found in every for scores in _judged(found).values())
    return most._replace(samples=max(judged, key=lambda n: (judged[n], n)) if judged else 0)


def evaluations(run: RunRecord) -> list[Mapping[str, Any]]:
    """Every evaluation of a finished run."""
    found = run.results if run.state == "finished" else {}
    return [found, *found.get("others", [])] if found else []


def values(run: RunRecord, wanted: Protocol) -> tuple[dict[str, float], dict[str, str]]:
    """The numbers of a finished run by metric, and why others are missing.

    Args:
        run: any run; one that did not finish has no numbers.
        wanted: what was measured in another way is left out.
    """
    if run.state != "finished":
        return {}, dict.fromkeys(KNOWN, ": ".join(filter(None, [run.state, run.reason])))
    found, reasons = _evaluation(run, wanted)
    own = {f"measures.{name}": value for name, value in (found.get("measures") or {}).items()}
    scores = _scores(found, wanted.samples)
    numbers = {name: found.get(name) for name in EVALUATED} | _cost(run.record) | scores | own
    return {name: float(value) for name, value in numbers.items() if value is not None}, reasons


def flat(values: Iterable[Any]) -> list[float]:
    """The numbers in a list, whose items may be lists."""
    return [number for value in values for number in (flat(value) if isinstance(value, list) else [value])]


def metrics(names: Iterable[str], groups: Sequence[Protocol], one_machine: bool) -> dict[str, Metric]:
    """What is known about each metric that some run has.

    Args:
        names: those metrics.
        groups: how each group was measured.
        one_machine: whether all runs had the same hardware.
    """
    ks = {group.k for group in groups if group.images}
    names = set(names)
    found = {name: metric for name, metric in KNOWN.items() if name in names}
    for name in (*OF_K, *COSTS):
        if name in found and name in COSTS:
            found[name] = replace(found[name], comparable=one_machine)
        elif name in found and len(ks) == 1:
            found[name] = replace(found[name], label=f"{KNOWN[name].label} (K={min(ks)})")
    for name in sorted(names - set(found)):
        score, _, sampler = name.partition(":")
        if sampler:
            found[name] = Metric(name, f"{score} {sampler}", "", "lower", DATA)
        else:
            found[name] = Metric(name, name.removeprefix("measures.").replace("_", " "), "", None, False)
    return found


def _evaluation(run: RunRecord, wanted: Protocol) -> tuple[dict[str, Any], dict[str, str]]:
    """The evaluation that follows the protocol, or what of another one agrees with it."""
    every = evaluations(run)
    for found in every:
        if _protocol(found)[:3] == wanted[:3]:
            return dict(found), dict(found.get("reasons", {}))
    for found in every:
        if _protocol(found)[:2] == wanted[:2]:
            missing = dict.fromkeys(OF_K, f"measured with K={found.get('k')}, others with K={wanted.k}")
            return {**found, **dict.fromkeys(OF_K)}, {**found.get("reasons", {}), **missing}
    why = (
        (run.unmeasured or "not evaluated")
        if not every
        else "measured on {1} images of the {0} split".format(*_protocol(every[0]))
    )
    return {}, dict.fromkeys(EVALUATED, why)


def _protocol(found: Mapping[str, Any]) -> Protocol:
    return Protocol(found.get("split", "test"), found.get("images", 0), found.get("k", 0))


def _judged(found: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Scores by sampler; the floor is no sampler."""
    return {name: scores for name, scores in (found.get("quality") or {}).items() if scores and name != "floor"}


def _scores(found: Mapping[str, Any], samples: int) -> dict[str, Any]:
    """Scores of samples, as ``fid_clf:prior``; those of another number of samples are biased in another way."""
    judged = {name: scores for name, scores in _judged(found).items() if scores["n"] == samples}
    return {f"{score}:{name}": scores.get(score) for name, scores in judged.items() for score in SCORES}


def _cost(record: Mapping[str, Any]) -> dict[str, Any]:
    memory = record.get("peak_memory_mb") or {}
    return {
        "parameters": (record.get("parameters") or {}).get("total"),
        "images_per_second": record.get("images_per_second"),
        "peak_memory_mb": memory.get("gpu", memory.get("host")),
        "seconds": record.get("seconds"),
    }
