"""Which jobs of a sweep are over, told from its folder without composing a configuration."""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from omegaconf import DictConfig

from vaezoo import choices, registry, runs

ELSEWHERE = ("sweep_dir=", "logger", "callbacks", "trainer.progress_bar=", "hardware.slots=", "hardware.threads=")
OURS = ("hydra", "main", "schema", "vaezoo", "")  # who else gives a configuration has told by a flag


@cache
def options_stamp() -> str:
    """Changes with every file that decides what an override means: all options, and what is made of them."""
    yaml = [file for root in (choices.conf_dir(), *choices.plugin_dirs().values()) for file in root.rglob("*.yaml")]
    entries = [entry for group in registry.GROUPS for entry in registry.entries(group).values()]
    classes = [file for entry in entries if (file := registry.source_file(entry.target.partition(":")[0]))]
    digest = hashlib.sha1(usedforsecurity=False)
    for path in sorted({*yaml, *classes, *registry.PACKAGE.glob("*.py")}):
        about = path.stat()
        digest.update(f"{path} {about.st_mtime_ns} {about.st_size}\n".encode())
    return digest.hexdigest()[:16]


def over(place: str | os.PathLike, master: DictConfig) -> set[tuple[str, ...]]:
    """The `what` of each job in a sweep's folder that is finished or pruned.

    Only what was queued by the present options counts: the others are composed anew and found by their content.

    Args:
        place: the sweep's folder.
        master: the sweep's own configuration.
    """
    sources: Iterable[DictConfig] = master.hydra.runtime.config_sources
    known = {*OURS, *choices.plugin_dirs()}
    if not Path(place).is_dir() or any(source.provider not in known for source in sources):
        return set()
    found = set()
    for folder in runs.find(place):
        job = folder / runs.JOB
        about = json.loads(job.read_text()) if job.is_file() else {}
        if about.get("options") == options_stamp() and runs.state(folder) in runs.FINAL:
            found.add(what(about["overrides"]))
    return found


def what(overrides: Sequence[str]) -> tuple[str, ...]:
    """The overrides of a job without order, and without those that only say where it runs."""
    return tuple(sorted(text for text in overrides if not text.startswith(ELSEWHERE)))
