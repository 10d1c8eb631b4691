"""The file results.json of a run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vaezoo.files import write

FILE = "results.json"
LABELS = {
    "elbo": "ELBO",
    "distortion": "distortion",
    "rate": "rate",
    "nll": "NLL",
    "bits_per_dim": "bits/dim",
    "mutual_information": "mutual information",
    "active_units": "active units",
    "squared_error": "squared error",
}


def write_results(run_dir: Path, results: Mapping[str, Any]) -> None:
    """Adds an evaluation to results.json.

    The file holds the fields of one evaluation, the one with most images and samples of the test split, and under
    ``others`` those with another split, number of images or k. An evaluation with the same three replaces the old one.
    """
    path = run_dir / FILE
    kept: dict[tuple, dict[str, Any]] = {}
    if path.is_file():
        stored = json.loads(path.read_text())
        kept = {_key(entry): entry for entry in (*stored.pop("others", []), stored)}
    kept[_key(results)] = dict(results)
    first, *others = (kept[key] for key in sorted(kept, reverse=True))
    write(path, json.dumps({**first, "others": others}, indent=2) + "\n")


def _key(results: Mapping[str, Any]) -> tuple:
    return results["split"] == "test", results["split"], results["images"], results["k"]


def format_results(results: Mapping[str, Any]) -> str:
    """A short table of one evaluation."""
    lines = [f"{results['split']} split, {results['images']} images, k={results['k']}; nats per image"]
    for name, label in LABELS.items():
        value, note = results[name], results["reasons"].get(name, "")
        if name == "rate" and value is not None:
            label = f"rate ({results['rate_is']})"
        if name == "nll" and results["nll_standard_error"] is not None:
            note = f"+- {results['nll_standard_error']:.2f}  {note}"
        shown = "-" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"
        lines.append(f"  {label:<20}{shown:>12}  {note}".rstrip())
    return "\n".join(lines) + f"\n  {results['seconds']:.1f} s, {results['images_per_second']:.1f} images/s"
