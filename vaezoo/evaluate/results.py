"""The file results.json of a run."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vaezoo.files import checksum, write
from vaezoo.runs import HISTORY, RESULTS, WEIGHTS, Broken, contents

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
    """Adds an evaluation of the weights that are in a run's folder to its results.json.

    The file holds the fields of one evaluation, the one with most images and samples of the test split, and under
    ``others`` those with another split, number of images or k. An evaluation with the same three replaces the old one.
    ``weights`` is the checksum of the measured weights; what was measured on other weights is moved to history.json.
    """
    weights = checksum(run_dir / WEIGHTS)
    entries = _entries(run_dir)
    current = {_key(entry): entry for entry in entries if entry.get("weights") == weights}
    old = current.get(_key(results), {})
    judged = {"quality": old["quality"]} if old.get("quality") else {}  # samples are not judged each time
    current[_key(results)] = {**judged, **results, "weights": weights}
    _write_history(run_dir, [entry for entry in entries if entry.get("weights") != weights])
    first, *others = (current[key] for key in sorted(current, reverse=True))
    write(run_dir / RESULTS, json.dumps({**first, "others": others}, indent=2) + "\n")


def retire_results(run_dir: Path) -> None:
    """Moves every evaluation of a run to history.json: its weights are about to change.

    A damaged file is reported and removed.
    """
    try:
        _write_history(run_dir, _entries(run_dir))
    except Broken as error:
        print(f"warning: {error}; it is removed", file=sys.stderr)
        error.file.unlink()
    (run_dir / RESULTS).unlink(missing_ok=True)


def _entries(run_dir: Path) -> list[dict[str, Any]]:
    """Every evaluation that a folder holds, the latest last."""
    stored = contents(run_dir / RESULTS)
    past, others = contents(run_dir / HISTORY).get("evaluations", []), stored.pop("others", [])
    return [*past, *others, *([stored] if stored else [])]


def _write_history(run_dir: Path, entries: list[dict[str, Any]]) -> None:
    if entries:
        write(run_dir / HISTORY, json.dumps({"evaluations": entries}, indent=2) + "\n")
    else:
        (run_dir / HISTORY).unlink(missing_ok=True)


def _key(results: Mapping[str, Any]) -> tuple:
    return results["split"] == "test", results["split"], results["images"], results["k"]


def format_results(results: Mapping[str, Any]) -> str:
    """A short table of one evaluation."""
    lines = [f"{results['split']} split, {results['images']} images, k={results['k']}; nats per image"]
    missing = all(results[name] is None for name in LABELS)
    if missing:  # of a classifier: one line in place of eight
        lines += [f"  {reason}" for reason in sorted({results["reasons"][name] for name in LABELS})]
    for name, label in [] if missing else LABELS.items():
        value, note = results[name], results["reasons"].get(name, "")
        if name == "rate" and value is not None:
            label = f"rate ({results['rate_is']})"
        if name == "nll" and results["nll_standard_error"] is not None:
            note = f"+- {results['nll_standard_error']:.2f}  {note}"
        shown = "-" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"
        lines.append(f"  {label:<20}{shown:>12}  {note}".rstrip())
    for name, value in results.get("measures", {}).items():
        note = results["reasons"].get(name, "")
        shown = f"{value:.4f}" if isinstance(value, float) else "-" if value is None else str(value)
        lines.append(f"  {name.replace('_', ' '):<20}{shown:>12}  {note}".rstrip())
    lines += _quality(results)
    lines += [f"  WARNING: {flag}" for flag in results.get("flags", [])]  # evaluations of earlier versions have none
    return "\n".join(lines) + f"\n  {results['seconds']:.1f} s, {results['images_per_second']:.1f} images/s"


def _quality(results: Mapping[str, Any]) -> list[str]:
    """One line per sampler whose samples were judged."""
    if not results.get("quality"):
        return [f"  quality             {'-':>12}  {results['reasons']['quality']}"] if "quality" in results else []
    lines = []
    for sampler, scores in results["quality"].items():
        if scores is None:
            lines.append(f"  {f'fid_clf_{sampler}':<20}{'-':>12}  {results['reasons'][f'quality.{sampler}']}")
            continue
        names = ("precision", "recall", "density", "coverage", "conditional_accuracy", "classifier_accuracy")
        rest = [f"{name.replace('_', ' ')} {scores[name]:.3f}" for name in names if name in scores]
        rest = [f"kid_clf {scores['kid_clf']:.4f} +- {scores['kid_clf_std']:.4f}", *rest, f"n {scores['n']}"]
        rest += [f"fid_inception {scores['fid_inception']:.2f}"] if "fid_inception" in scores else []
        lines.append(f"  {f'fid_clf_{sampler}':<20}{scores['fid_clf']:>12.3f}  {', '.join(rest)}")
    return lines
