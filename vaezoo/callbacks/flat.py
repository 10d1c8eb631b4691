"""One level of names, as wandb and TensorBoard compare runs by."""

from collections.abc import Iterator, Mapping
from typing import Any

from vaezoo.identity import MACHINE

BOOKKEEPING = tuple(key for key in MACHINE if key not in ("run_dir", "sweep_dir"))  # what says nothing about the model


def flat_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The choice of every group under its own name, and every value under ``group/key``.

    Args:
        config: the resolved configuration as plain values.

    Returns:
        dict: e.g. ``{"variant": "beta_vae", "variant/beta": 4.0, "dataset": "mnist", "seed": 0}``.
    """
    choices = {group: option for group, option in config["choices"].items() if option not in (None, "none")}
    return {**choices, **dict(_leaves({key: config[key] for key in config if key not in BOOKKEEPING}))}


def flat_results(results: Mapping[str, Any]) -> dict[str, float]:
    """Every number of an evaluation under ``SPLIT/...``, e.g. ``test/nll`` or ``test/quality/prior/fid_clf``.

    Args:
        results: what :func:`vaezoo.evaluate.evaluate.evaluate` returns; may be empty.
    """
    own = results.get("measures") or {}
    found = _leaves({**{key: value for key, value in results.items() if key not in ("measures", "others")}, **own})
    return {f"{results['split']}/{name}": value for name, value in found if isinstance(value, int | float)}


def _leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if str(key).startswith("_"):
            continue
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}/")
        elif value is not None:
            yield f"{prefix}{key}", value
