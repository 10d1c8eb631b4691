"""From the command line to a checked configuration: registry and signatures become Hydra's options."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import MISSING, DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from vaezoo import registry
from vaezoo.checks import arguments, check, check_path
from vaezoo.choices import NONE, conf_dir, groups, options, plugin_dirs, registered
from vaezoo.errors import UsageError, near

LATENT = 20  # size of z where nothing prefers another


class _Registry(ConfigSource):
    """Shows the registry to Hydra; one file is imported when its node is asked for, none for a list of names."""

    @staticmethod
    def scheme() -> str:
        return "vaezoo"

    def available(self) -> bool:
        return True

    def is_group(self, config_path: str) -> bool:
        return config_path.strip("/") in ("", *registry.GROUPS)

    def is_config(self, config_path: str) -> bool:
        group, _, name = config_path.removesuffix(".yaml").rpartition("/")
        return name in registered(group)

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        group = config_path.strip("/")
        folders, stems = (list(registry.GROUPS), []) if not group else ([], registered(group))
        return sorted(
            (folders if results_filter in (None, ObjectType.GROUP) else [])
            + (stems if results_filter in (None, ObjectType.CONFIG) else [])
        )

    def load_config(self, config_path: str) -> ConfigResult:
        group, _, name = config_path.removesuffix(".yaml").rpartition("/")
        config = OmegaConf.create({}) if name == NONE else OmegaConf.structured(node(group, name))
        return ConfigResult(self.provider, self.full_path(), config, header={"package": None})


class _SearchPath(SearchPathPlugin):
    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        main = SearchPathQuery(provider="main")
        if not any(item.provider == "main" and item.path == str(conf_dir()) for item in search_path.get_path()):
            return  # another application's Hydra
        search_path.append("vaezoo", "vaezoo://", anchor=main)
        for owner, folder in plugin_dirs().items():
            search_path.append(owner, f"file://{folder}", anchor=main)


@cache
def install() -> None:
    """Make the registry, the plugins' conf folders and our resolver known to Hydra."""
    Plugins.instance().register(_Registry)
    Plugins.instance().register(_SearchPath)
    OmegaConf.register_new_resolver("vz_folder", _folder_name, replace=True)


def _folder_name(overrides: Sequence[str]) -> str:
    """A readable folder name that depends on nothing but a run's overrides; what differs most often comes first."""
    first = ("variant", "experiment", "dataset", "seed")
    rank = {override: (first.index(k) if (k := override.partition("=")[0]) in first else 4) for override in overrides}
    text = ",".join(sorted(overrides, key=lambda override: (rank[override], override)))
    name = re.sub(r"[^\w.=,+-]+", "_", text) or "default"
    return name if len(name) <= 100 else f"{name[:90]}-{hashlib.sha1(text.encode()).hexdigest()[:8]}"


def node(group: str, name: str) -> Any:
    """The configuration of a class, generated from its signature and its card."""
    from hydra_zen import builds

    cls = registry.load(group, name)
    required = {key: MISSING for key, p in arguments(cls).items() if p.default is p.empty}
    parts = registry.card(group, name).defaults.items()
    chosen = [{f"override /{other}@_global_.{other}": part} for other, part in parts]
    return builds(
        cls,
        populate_full_signature=True,
        zen_partial=True,
        zen_exclude=registry.HANDED,
        hydra_convert="all",
        hydra_defaults=[*chosen, "_self_"] if chosen else None,
        **required,
    )


def compose(overrides: Sequence[str] = ()) -> DictConfig:
    """The configuration that ``vaezoo train OVERRIDES`` trains, checked.

    Args:
        overrides: as on the command line, e.g. ``["variant=beta_vae", "variant.beta=8"]``.

    Raises:
        UsageError: an override names something that does not exist, or has a value of the wrong type.
    """
    config = _compose(list(overrides))
    return finish(config, config.hydra, config.run_dir)


def check_sweep(overrides: Sequence[str]) -> None:
    """Compose with every value of every swept override, each beside the first value of the others.

    Raises:
        UsageError: as `compose`.
    """
    values = [each for override in _parse(overrides) if (each := _values(override))]
    first = [each[0] for each in values]
    compose(first)
    for position, each in enumerate(values):
        for value in each[1:]:
            compose([*first[:position], value, *first[position + 1 :]])


def finish(config: DictConfig, hydra_config: Any, run_dir: str | Path) -> DictConfig:
    """Take Hydra's own part out of a composed configuration, keep the choices and overrides, and check it.

    Returns:
        DictConfig: with ``choices`` (group -> option), ``overrides`` (what the user wrote) and the real ``run_dir``.
    """
    chosen = {g: o for g, o in hydra_config.runtime.choices.items() if not g.startswith("hydra/")}
    overrides = [str(override) for override in hydra_config.overrides.task]
    with open_dict(config):
        config.pop("hydra", None)
        config.run_dir = str(run_dir)
        config.choices = chosen
        config.latent = _latent(config.latent, chosen)
        config.overrides = overrides
    check(config)
    return config


def _latent(given: Any, chosen: dict[str, str]) -> Any:
    """The size of z: what was asked for, else what the posterior or the variant prefers."""
    if given is not None:
        return given
    used = [(group, chosen.get(group)) for group in ("posterior", "variant")]
    preferred = [registry.card(group, name).latent for group, name in used if name and name != NONE]
    size = next((size for size in preferred if size is not None), LATENT)
    return list(size) if isinstance(size, tuple) else size


def explain(error: Exception, overrides: Sequence[str]) -> UsageError:
    """What the user should change, in one line, for what Hydra or OmegaConf raised on these overrides."""
    try:
        parsed = _parse(overrides)
        for override in parsed:
            if override.is_sweep_override():
                raise UsageError(f"{override.input_line} lists several values: add -m to run one after the other")
        chosen = [o for o in parsed if o.key_or_group in groups() or "/" in o.key_or_group]
        for override in chosen:
            _check_option(override.key_or_group, override.value())
        if len(chosen) < len(parsed):
            bare = _compose([override.input_line or "" for override in chosen])
            for override in parsed:
                if override not in chosen and not override.is_add():
                    check_path(override.key_or_group.split("."), override.value(), bare)
    except UsageError as found:
        return found
    lines = [line.strip() for line in (*str(error).splitlines(), *str(error.__cause__ or "").splitlines())]
    return UsageError(" ".join(line for line in lines[:4] if line))


def _values(override: Override) -> list[str]:
    """The overrides that a sweep makes of one; none where only its sweeper knows them."""
    value = override.value()
    if not override.is_sweep_override():
        return [override.input_line or ""]
    if isinstance(value, Glob):
        texts: Iterable[str] = value.filter(options(override.key_or_group))
    elif override.is_discrete_sweep():
        texts = override.sweep_string_iterator()
    else:
        return []
    return [f"{override.get_key_element()}={text}" for text in texts]


def _compose(overrides: list[str]) -> DictConfig:
    install()
    _check_duplicates()
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3", job_name="train"):
            return hydra.compose("train", overrides, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, overrides) from error
    finally:
        GlobalHydra.instance().hydra = outer


def _parse(overrides: Sequence[str]) -> list[Override]:
    for override in overrides:
        try:
            OverridesParser.create().parse_override(override)
        except HydraException as error:
            raise UsageError(f"cannot read {override!r}: {str(error).splitlines()[0]}") from error
    return OverridesParser.create().parse_overrides(list(overrides))


def _check_duplicates() -> None:
    """Two packages with the same option: Hydra would take one in silence."""
    owners: dict[Path, str] = {}
    for owner, root in {"vaezoo": conf_dir(), **plugin_dirs()}.items():
        for file in root.glob("*/*.yaml"):
            rival = owners.setdefault(file.relative_to(root), owner)
            if rival != owner:
                name = f"{file.parent.name}={file.stem}"
                raise UsageError(f"{name} is defined by both {rival} and {owner}: rename one, or uninstall one package")


def _check_option(group: str, name: Any) -> None:
    if not isinstance(name, str) or group not in groups():
        return
    if group in registry.GROUPS and name in registry.names(group):
        registry.find(group, name)
    elif name not in (known := options(group)):
        raise UsageError(f"{group}={name} is unknown{near(name, known)} (options: {', '.join(known)})")
