"""What makes two configurations the same run, and the name of its folder."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

MACHINE = (  # where and how a run ran, and what chose it
    *("run_dir", "sweep_dir", "resume", "overwrite", "allow_other_data", "trust"),
    *("overrides", "choices", "settled", "logger", "callbacks"),
)
COUNTED = ("precision", "devices", "num_nodes", "ensemble")  # what of `hardware` changes a run's numbers


def content(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a resolved configuration that decides a run's numbers.

    Args:
        config: plain values, as config.yaml holds them.
    """
    kept = {key: value for key, value in config.items() if key not in MACHINE}
    kept |= {group: {} for group in config.get("settled", ())}  # what the data decided was not asked for
    kept["hardware"] = {key: config["hardware"][key] for key in COUNTED if key in config["hardware"]}
    kept["trainer"] = {key: value for key, value in config["trainer"].items() if key != "progress_bar"}
    kept["dataset"] = {key: value for key, value in config["dataset"].items() if key != "root"}
    # an integral number is the same option with or without its point, but for trainer.limit_*: 1 batch or all of them
    return {key: value if key == "trainer" else _plain(value) for key, value in kept.items()}


def digest(config: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits that depend on nothing but the content of a resolved configuration."""
    text = json.dumps(content(config), sort_keys=True)
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:8]


def folder_name(config: Mapping[str, Any], choices: Mapping[str, str | None]) -> str:
    """The name of a run's folder in a sweep, e.g. ``vae-mnist-bernoulli-seed0-1f3a5b7c``."""
    axes = [choices.get(group) or "none" for group in ("variant", "dataset", "likelihood")]
    return "-".join([*axes, f"seed{config['seed']}", digest(config)])


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
