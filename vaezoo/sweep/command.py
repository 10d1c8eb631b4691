"""The command `vaezoo sweep`: presets, how a sweep stands, and running again what did not finish."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from vaezoo import choices
from vaezoo.errors import UsageError, near
from vaezoo.sweep.job import job_overrides
from vaezoo.sweep.status import status, unfinished

USAGE = """\
usage: vaezoo sweep PRESET [GROUP=OPTION ...] [KEY=VALUE ...]
       vaezoo sweep status DIR
       vaezoo sweep retry DIR [--trust] [KEY=VALUE ...]

Trains every run of a preset. Started again, it trains only what is not finished, and continues what was cut.
`status` counts the runs of a folder by state and says why some did not finish; `retry` runs those again, with --trust
even where the folder names code that is not installed.

presets:
{presets}

examples:
  vaezoo sweep seeds variant=beta_vae                    one run after the other
  vaezoo sweep zoo hardware=cpu_pool hardware.slots=4    four at a time
  vaezoo sweep beta seed=0,1,2 hardware=local_gpus       one per GPU
  vaezoo sweep optuna variant=beta_vae 'variant.beta=interval(1,8)' '~variant.warmup'    ~ leaves a parameter out
  vaezoo sweep status sweeps/beta
  vaezoo train -m variant=vae,iwae seed=0,1 sweep_dir=sweeps/mine    lists of your own
"""


def main(arguments: list[str], train: Callable[[list[str]], int]) -> int:
    """What `vaezoo sweep` does with the words behind it.

    Args:
        arguments: e.g. ``["beta", "seed=0,1"]``.
        train: runs `vaezoo train` with such words.

    Raises:
        UsageError: the preset or the folder does not exist.
    """
    if not arguments or {"-h", "--help"} & set(arguments):
        print(USAGE.format(presets="\n".join(f"  {name:<12} {about}" for name, about in presets().items())))
        return 0
    command, *rest = arguments
    if command in ("status", "retry") and not rest:
        raise UsageError(f"vaezoo sweep {command} needs the folder of a sweep, e.g. sweeps/zoo")
    if command == "status":
        print(status(rest[0]))
        return 0
    if command == "retry":
        return _retry(Path(rest[0]), rest[1:], train)
    if command not in (known := presets()):
        raise UsageError(f"there is no preset {command!r}{near(command, known)} (presets: {', '.join(known)})")
    return train(["-m", f"sweep={command}", *_dropped(command, rest)])


def _dropped(preset: str, words: list[str]) -> list[str]:
    """``~KEY`` leaves a parameter out of a search.

    Raises:
        UsageError: the search has no such parameter.
    """
    keys = [word[1:] for word in words if word.startswith("~")]
    content: Any = OmegaConf.to_container(OmegaConf.load(choices.file("sweep", preset)), resolve=False)
    hydra = content.get("hydra", {})
    if not keys or "study" not in hydra.get("callbacks", {}):
        return words
    params = hydra["sweeper"]["params"]
    for key in keys:
        if key not in params:
            raise UsageError(f"~{key}: sweep={preset} does not search {key}{near(key, params)} ({', '.join(params)})")
    return [*(word for word in words if word[:1] != "~"), f"hydra.callbacks.study.drop=[{','.join(keys)}]"]


def presets() -> dict[str, str]:
    """What each preset does: the first comment of its file that is not Hydra's."""
    return {name: _about(choices.file("sweep", name)) for name in choices.options("sweep")}


def _about(file: Path) -> str:
    comments = (line[1:].strip() for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("#"))
    return next((text for text in comments if not text.startswith("@package")), "")


def _retry(place: Path, overrides: list[str], train: Callable[[list[str]], int]) -> int:
    """The sweep's own launcher runs them, as its jobs name it in ``hardware=``."""
    jobs = unfinished(place)
    if not jobs:
        print(f"{place} holds no job that did not finish")
        return 0
    trust = "--trust" in overrides
    overrides = [*(text for text in overrides if text != "--trust"), *(["trust=true"] if trust else [])]
    hardware = [text for text in job_overrides(jobs[0], trust) if re.match(r"hardware[=.]", text)]
    folder = str(place).replace("'", "\\'")
    return train(["-m", *hardware, *overrides, f"sweep_dir='{folder}'", "++hydra.sweeper.retry=true"])
