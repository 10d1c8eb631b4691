"""What the folder of a run may make this process do: build what is installed, and nothing else unless it is trusted.

A configuration on the user's own command line may name anything. One that lies in a folder may come from anybody, so it
is compared with lists of what may be named before any of it is imported, resolved or built.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from vaezoo import registry
from vaezoo.choices import plugin_dirs
from vaezoo.errors import UsageError
from vaezoo.files import inside
from vaezoo.runs import CONFIG, Broken, contents

DATA = "vaezoo.data.datamodule.DataModule"
CUSTOM = tuple(f"vaezoo.networks.custom.{role}" for role in ("Encoder", "Decoder"))  # they build what `target` names
HYDRAS = ("_target_", "_partial_", "_convert_")  # keys of a node that builds something
ALLOW = "if you know what it does, allow it with --trust (trust=True in Python, trust=true on `vaezoo train`)"

_granted: ContextVar[bool] = ContextVar("granted", default=False)


def read_config(run_dir: str | Path, trust: bool = False) -> DictConfig:
    """The configuration in a run's folder, after the checks of this module.

    Args:
        run_dir: the run's folder.
        trust: leave the checks out: the folder may name any code, which then runs.

    Returns:
        DictConfig: with ``trust`` as it is given here, whatever the file says.

    Raises:
        Broken: the file is damaged.
        UsageError: without ``trust``: something in the folder is not allowed.
    """
    file = Path(run_dir) / CONFIG
    plain = contents(file)
    if missing := [name for name in ("dataset", "optimizer", "seed", *registry.GROUPS) if name not in plain]:
        raise Broken(file, f"it has no {', '.join(missing)}")
    if not trust:
        check_links(Path(run_dir))
        check(plain, str(file))
    config = OmegaConf.create(plain)
    config.trust = trust
    return config


def check(plain: Any, where: str, recorded: bool = True) -> None:
    """Compares everything that a configuration names with what is installed.

    Args:
        plain: the configuration as plain values, with interpolations as text.
        where: what errors call it.
        recorded: it was written by a run, so that interpolations were resolved then.

    Raises:
        UsageError: the first node that is not allowed.
    """
    blocks = (*registry.GROUPS, "dataset")
    for path, value in _walk(plain):
        key = str(path[-1])
        if key.startswith("_") and not (len(path) == 2 and path[0] in blocks and key in HYDRAS):
            raise UsageError(f"{where}: {_dotted(path)}={value!r} has no place in a run's configuration; {ALLOW}")
        if recorded and any(isinstance(text, str) and "${" in text for text in (key, value)):
            raise UsageError(
                f"{where}: {_dotted(path)}={value!r} is an interpolation, and a run records values; {ALLOW}"
            )
    for group in registry.GROUPS:
        _check_part(group, plain.get(group), where)
    _check_dataset(plain.get("dataset"), where)


def check_overrides(overrides: Sequence[str], where: str) -> None:
    """Compares the overrides of a queued job with what may stand there; what they name is :func:`check`'s.

    Raises:
        UsageError: an override is a flag, sets Hydra's own part, reads the environment or moves the run elsewhere.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    for text in overrides:
        try:
            override = OverridesParser.create().parse_override(text)
        except HydraException as error:
            raise UsageError(f"{where}: {text!r} is not an override") from error
        first = override.key_or_group.replace("/", ".").partition(".")[0]
        moved = first in ("hydra", "resume", "trust") or override.package is not None
        if moved or "${" in text or text.startswith("-"):
            raise UsageError(f"{where}: {text!r} has no place in a job's overrides; {ALLOW}")


def check_links(folder: Path) -> None:
    """Refuses symbolic links through which files would be written outside of a run's folder.

    A link to a file is harmless, and how caches of downloads are built: a file is replaced here, never written through.

    Raises:
        UsageError: a link leads to a folder outside, or to nothing.
    """
    for place, inner, files in os.walk(folder):
        for path in (Path(place, name) for name in (*inner, *files)):
            if path.is_symlink() and not path.is_file() and not inside(folder, path):
                raise UsageError(f"{path} is a link to {os.readlink(path)}, outside of the run's folder; {ALLOW}")


@contextmanager
def granting(trust: bool) -> Iterator[None]:
    """Context manager: runs that are loaded by what is built meanwhile are trusted, or not."""
    token = _granted.set(trust)
    try:
        yield
    finally:
        _granted.reset(token)


def granted() -> bool:
    """What the innermost :func:`granting` says; False outside of one."""
    return _granted.get()


def _check_part(group: str, node: Any, where: str) -> None:
    if not node:
        return
    values = node if isinstance(node, Mapping) else {"_target_": node}
    target = str(values.get("_target_"))
    if target not in _written(group) and target not in _imported(group):
        raise UsageError(f"{where}: {group}._target_={target!r} does not name an installed {group}; {ALLOW}")
    if values.get("_partial_") is not True:
        raise UsageError(f"{where}: {group}._partial_={values.get('_partial_')!r} must be true")
    if target in CUSTOM:
        raise UsageError(f"{where}: {group}.target={values.get('target')!r} is code of somebody's own; {ALLOW}")


def _check_dataset(node: Any, where: str) -> None:
    if node is None:
        return
    values = node if isinstance(node, Mapping) else {"_target_": node}
    target, source = values.get("_target_"), values.get("source")
    own = target == DATA and isinstance(source, str) and "." not in source  # of which DataModule knows its own only
    if own or (target, source) in _offered():
        return
    what = f"dataset._target_={target!r}" if target != DATA else f"dataset.source={source!r}"
    raise UsageError(f"{where}: {what} does not name an installed dataset; {ALLOW}")


def _written(group: str) -> set[str]:
    """The import paths in the registry; nothing is imported."""
    return {entry.target.replace(":", ".") for entry in registry.entries(group).values() if not entry.broken}


def _imported(group: str) -> set[str]:
    """Where the classes of other packages are really defined, which may be another module than the entry point's."""
    found = set()
    for name, entry in registry.entries(group).items():
        if entry.distribution != "vaezoo" and not entry.broken:
            with suppress(UsageError):
                cls = registry.load(group, name)
                found.add(f"{cls.__module__}.{cls.__qualname__}")
    return found


def _offered() -> list[tuple[Any, Any]]:
    """Target and source of each dataset that other packages offer as an option."""
    files = (file for folder in plugin_dirs().values() for file in (folder / "dataset").glob("*.yaml"))
    options = [yaml.safe_load(file.read_text(encoding="utf-8")) or {} for file in files]
    return [(option.get("_target_"), option.get("source")) for option in options]


def _walk(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every node below a value with its path."""
    nodes: Sequence[tuple[Any, Any]] = []
    if isinstance(value, Mapping):
        nodes = list(value.items())
    elif isinstance(value, list | tuple):
        nodes = list(enumerate(value))
    for key, inner in nodes:
        yield (*path, key), inner
        yield from _walk(inner, (*path, key))


def _dotted(path: Sequence[Any]) -> str:
    return ".".join(map(str, path))
