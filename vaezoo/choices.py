"""Which groups there are and what each offers, from the registry and the conf folders; nothing is imported."""

import importlib.metadata
import os
from functools import cache
from pathlib import Path

from omegaconf import OmegaConf

from vaezoo import registry

NONE = "none"
AUTO = "auto"  # the likelihood that the data decide
GLOBAL = ("experiment", "sweep", "jobs")  # groups whose files set keys of other groups, and have none of their own
CONFIG_DIR = "VAEZOO_CONFIG_DIR"  # what --config-dir sets, so that processes of a sweep have it too


def conf_dir() -> Path:
    """The folder of train.yaml: in the wheel, or beside the package in a checkout (which is then live)."""
    for folder in (registry.PACKAGE / "_conf", registry.PACKAGE.parent / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise FileNotFoundError(f"no conf folder with a train.yaml in or beside {registry.PACKAGE}")


@cache
def plugin_dirs() -> dict[str, Path]:
    """The conf folder of each other package that has the entry point ``vaezoo.conf``, found without importing it."""
    found = {}
    for point in importlib.metadata.entry_points(group="vaezoo.conf"):
        folder = registry.folder(point.value)
        if folder is not None:
            found[point.dist.name if point.dist else point.name] = folder
    return found


def own_dirs() -> dict[str, Path]:
    """The user's folders of options: that of ``--config-dir``, and ``conf`` in the working folder."""
    given = os.environ.get(CONFIG_DIR)
    known = {folder.resolve() for folder in (conf_dir(), *plugin_dirs().values())}
    found: dict[Path, str] = {}
    for place in [*([Path(given)] if given else []), Path("conf")]:
        if place.is_dir() and place.resolve() not in known:
            found.setdefault(place.resolve(), str(place))
    return {name: folder for folder, name in found.items()}


def roots() -> dict[str, Path]:
    """Every folder of options by who owns it: vaezoo, other packages, the user."""
    return {"vaezoo": conf_dir(), **plugin_dirs(), **own_dirs()}


def groups() -> list[str]:
    """Every group that has options; the user's folders add options, not groups."""
    packaged = (conf_dir(), *plugin_dirs().values())
    folders = {file.parent.name for root in packaged for file in root.glob("*/*.yaml")}
    return sorted({*registry.GROUPS, *folders} - {"hydra"})


def options(group: str) -> list[str]:
    """Every option of a group."""
    files = {file.stem for root in roots().values() for file in (root / group).glob("*.yaml")}
    return sorted({*files, *registered(group)})


def file(group: str, name: str) -> Path:
    """The YAML file of an option."""
    files = (root / group / f"{name}.yaml" for root in roots().values())
    return next(file for file in files if file.is_file())


def registered(group: str) -> list[str]:
    """The options of a group that are classes, and ``none`` for a part that is left out."""
    if group not in registry.GROUPS:
        return []
    return [*registry.names(group), *([NONE] if group != "variant" else [])]


def default(group: str) -> str:
    """The option of a group that train.yaml chooses."""
    lines = OmegaConf.load(conf_dir() / "train.yaml").defaults
    return next((line[group] or "" for line in lines if line != "_self_" and group in line), "")
