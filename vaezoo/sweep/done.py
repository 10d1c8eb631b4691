"""Which jobs of a sweep are over, told from its folder without composing a configuration."""

import hashlib
import os
import shlex
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob
from omegaconf import DictConfig, OmegaConf

from vaezoo import choices, registry, runs

ELSEWHERE = ("sweep_dir=", "logger", "callbacks", "trainer.progress_bar=", "hardware.slots=", "hardware.threads=")
OURS = ("hydra", "main", "schema", "vaezoo", "")  # who else gives a configuration has told by a flag


@cache
def options_stamp() -> str:
    """Changes with every file that decides what an override means: all options, and what is made of them."""
    yaml = [file for root in choices.roots().values() for file in root.rglob("*.yaml")]
    entries = [entry for group in registry.GROUPS for entry in registry.entries(group).values()]
    classes = [file for entry in entries if (file := registry.source_file(entry.target.partition(":")[0]))]
    digest = hashlib.sha1(usedforsecurity=False)
    for path in sorted({*yaml, *classes, *registry.PACKAGE.glob("*.py")}):
        about = path.stat()
        digest.update(f"{path} {about.st_mtime_ns} {about.st_size}\n".encode())
    return digest.hexdigest()[:16]


def all_over(overrides: Sequence[str]) -> str | None:
    """What to say of a sweep whose jobs are all finished; None if some are not, or only Hydra can tell which they are.

    Args:
        overrides: the whole command line without its flags.
    """
    parser = OverridesParser.create()
    given = {override.key_or_group: override for override in parser.parse_overrides(list(overrides))}
    if any(key.startswith("hydra") or isinstance(o.value(), Glob) for key, o in given.items()):
        return None
    preset: Any = {}
    if "sweep" in given and (name := str(given["sweep"].value())) in choices.options("sweep"):
        preset = OmegaConf.to_container(OmegaConf.load(choices.file("sweep", name)), resolve=False)
    sweeper = preset.get("hydra", {}).get("sweeper", {})
    if any("hydra" in key for default in preset.get("defaults", ()) if isinstance(default, dict) for key in default):
        return None
    place = given["sweep_dir"].value() if "sweep_dir" in given else preset.get("sweep_dir", "sweeps/default")
    finished = over(str(place))
    jobs = set()
    for line in products(sweeper.get("params"), sweeper.get("lines"), overrides):
        parsed = parser.parse_overrides(line)
        if not finished or any(isinstance(override.value(), Glob) for override in parsed):
            return None
        jobs |= {what(job) for job in BasicSweeper.split_arguments(parsed, None)[0]}
    return f"{len(jobs)} of {len(jobs)} jobs in {place} are finished" if jobs <= finished else None


def over(place: str | os.PathLike, master: DictConfig | None = None) -> set[tuple[str, ...]]:
    """The `what` of each job in a sweep's folder that is finished or pruned.

    Only what was queued by the present options counts: the others are composed anew and found by their content.

    Args:
        place: the sweep's folder.
        master: the sweep's own configuration; None where no flag names a configuration from elsewhere.
    """
    sources: Iterable[DictConfig] = master.hydra.runtime.config_sources if master is not None else ()
    known = {*OURS, *choices.roots()}
    if not Path(place).is_dir() or any(source.provider not in known for source in sources):
        return set()
    found = set()
    for folder in runs.find(place):
        run = runs.read(folder)
        if run.job.get("options") == options_stamp() and run.state in runs.FINAL:
            found.add(what(run.job["overrides"]))
    return found


def products(params: Any, lines: Any, arguments: Sequence[str]) -> list[list[str]]:
    """The overrides of each product of a sweep; of the same key, the last one counts."""
    first = [f"{key}={value}" for key, value in (params or {}).items()]
    return [[*first, *shlex.split(line), *arguments] for line in lines or [""]]


def what(overrides: Sequence[str]) -> tuple[str, ...]:
    """The overrides of a job without order, and without those that only say where it runs."""
    return tuple(sorted(text for text in overrides if not text.startswith(ELSEWHERE)))
