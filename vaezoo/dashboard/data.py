"""What the page shows, as plain values that JSON holds."""

import json
import math
from collections.abc import Sequence
from datetime import datetime
from statistics import fmean
from typing import Any

from vaezoo.comparison import Comparison, Group, Row, compare
from vaezoo.dashboard.cards import cards
from vaezoo.dashboard.curves import curves, points, rounded, short
from vaezoo.measured import flat
from vaezoo.runs import RunRecord

DIMENSIONS = 64  # bars of one row
CHOSEN, ROWS = 4, 12  # rows shown at first: of each group, of all groups
RANKED = ("nll", "elbo", "distortion")  # what the rows shown at first are chosen by: the first that a row has


def data(records: Sequence[RunRecord], title: str) -> tuple[dict[str, Any], list[Row]]:
    """The contents of the page but for its pictures, and the rows by how early their pictures matter.

    Args:
        records: any runs.
        title: what the page is called.
    """
    comparison = compare(records)
    groups = comparison.groups()
    place = {id(row): index for index, group in enumerate(groups) for row in group.rows}
    metrics = list(comparison.metrics)
    terms: dict[str, int] = {}
    most = points(records)
    ranked = [sorted(group.rows, key=_rank) for group in groups]
    share = max(1, min(CHOSEN, ROWS // max(1, len(groups))))
    contents = {
        "title": title,
        "built": datetime.now().astimezone().isoformat(timespec="seconds"),
        "metrics": [vars(comparison.metrics[name]) for name in metrics],
        "groups": [_group(group, comparison) for group in groups],
        "rows": [_row(row, place[id(row)], metrics) for row in comparison.rows],
        "differences": {key: list(map(_plain, values)) for key, values in comparison.differences.items()},
        "variants": cards(row.variant for row in comparison.rows),
        "points": most,
        "curves": {row.key: [curves(run, most, terms) for run in row.runs] for row in comparison.rows},
        "terms": list(terms),
        "first": [row.key for rows in ranked for row in rows[:share] if row.n],
    }
    return contents, _interleaved(ranked)


def _group(group: Group, comparison: Comparison) -> dict[str, Any]:
    """Title and, for each metric that has a good end, the best row and those that are not significantly worse."""
    best = {}
    for name in comparison.metrics:
        if standing := comparison.better(name, group.rows):
            best[name] = [standing.best.key, [row.key for row in standing.ties]]
    return {"title": group.title, "dataset": group.dataset, "likelihood": group.likelihood, "best": best}


def _row(row: Row, group: int, metrics: Sequence[str]) -> dict[str, Any]:
    return {
        "key": row.key,
        "label": row.label,
        "name": row.name,
        "variant": row.variant,
        "group": group,
        "n": row.n,
        "values": [short(row.values[name]) if name in row.values else 0 for name in metrics],
        "reasons": row.reasons,
        "partly": row.partly,
        "flags": row.flags,
        "runs": [[str(run.path), run.seed, run.state, run.reason] for run in row.runs],
        "kl": _kl(row),
        "codes": _codes(row),
    }


def _rank(row: Row) -> tuple[bool, int, float]:
    """Rows with a trustworthy likelihood first, the best of them first."""
    for index, name in enumerate(RANKED):
        mean = row.mean(name)
        if mean is not None and name not in row.reasons:
            return not row.n, index, -mean if name == "elbo" else mean
    return not row.n, len(RANKED), 0.0


def _interleaved(ranked: Sequence[Sequence[Row]]) -> list[Row]:
    """The best of each group, then the second of each, and so on."""
    return [rows[k] for k in range(max(map(len, ranked), default=0)) for rows in ranked if k < len(rows)]


def _kl(row: Row) -> list[float | None]:
    """Nats per latent dimension, the largest first, as a mean over runs, whose dimensions have no common order."""
    every = [run.results.get("kl_per_dimension") for run in row.runs if run.state == "finished"]
    found = [sorted(flat(values), reverse=True) for values in every if values]
    return short(map(fmean, zip(*found, strict=False)))[:DIMENSIONS]


def _codes(row: Row) -> list[list[Any]]:
    """For each level of codes its number, their perplexity, how many are used, and how many there are."""
    measures = {name.removeprefix("measures."): row.mean(name) for name in row.values if name.startswith("measures.")}
    levels = [name.removeprefix("perplexity") for name in measures if name.startswith("perplexity")]
    there_are = _size(next((run.config.get("posterior") or {} for run in row.runs if run.config), {}))
    return [
        [
            level.strip("_"),
            rounded(measures[f"perplexity{level}"]),
            rounded(measures.get(f"codes_used{level}")),
            there_are,
        ]
        for level in levels
    ]


def _size(posterior: dict[str, Any]) -> int | None:
    """How many codes a quantizer has, as its configuration says."""
    if "levels" in posterior:
        return math.prod(posterior["levels"])
    return 2 ** posterior["bits"] if "bits" in posterior else posterior.get("codes")


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return rounded(value)
    return value if isinstance(value, str | int | None) else json.dumps(value, default=str)
