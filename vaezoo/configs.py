"""From the command line to a checked configuration: registry and signatures become Hydra's options."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import MISSING, DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from vaezoo import identity, registry
from vaezoo.checks import arguments, check, check_path
from vaezoo.choices import NONE, conf_dir, groups, options, plugin_dirs, registered
from vaezoo.errors import UsageError, near
from vaezoo.sweep.composer import Composer
from vaezoo.sweep.done import products
from vaezoo.sweep.plugins import check_plugin
from vaezoo.sweep.pool import Pool, PoolConf
from vaezoo.sweep.slots import check_processes
from vaezoo.sweep.sweeper import Jobs, JobsConf

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
    _publish(Jobs, Pool)
    ConfigStore.instance().store(group="hydra/launcher", name="pool", node=PoolConf, provider="vaezoo")
    ConfigStore.instance().store(group="hydra/sweeper", name="jobs", node=JobsConf, provider="vaezoo")
    OmegaConf.register_new_resolver("vz_folder", _folder, replace=True)
    OmegaConf.register_new_resolver("vz_gpus", _gpus, replace=True)


def _publish(*plugins: type) -> None:
    """Hydra takes sweepers and launchers from the namespace `hydra_plugins` only: put ours there, without a file."""
    known = Plugins.instance()  # has imported the namespace, if some package provides it
    space = sys.modules.setdefault("hydra_plugins", ModuleType("hydra_plugins"))
    own = ModuleType("hydra_plugins.vaezoo")
    sys.modules[own.__name__] = own
    setattr(space, "vaezoo", own)  # noqa: B010
    for plugin in plugins:
        plugin.__module__ = own.__name__
        setattr(own, plugin.__name__, plugin)
        known.register(plugin)


def _folder(*, _root_: DictConfig) -> str:
    """The folder of a job in its sweep; it depends on the content of the job's configuration only."""
    choices = dict(_root_.hydra.runtime.choices)
    plain = {str(key): _value(_root_, key) for key in _root_ if key != "hydra" and key not in identity.MACHINE}
    return identity.folder_name({**plain, "latent": _latent(plain["latent"], choices)}, choices)


def _gpus(*, _root_: DictConfig) -> int | str | None:
    """How many GPUs a run asks its cluster for."""
    return None if _root_.hardware.accelerator == "cpu" else _root_.hardware.devices


def _value(config: DictConfig, key: Any) -> Any:
    value = config[key]
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


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


def check_sweep(overrides: Sequence[str]) -> Path:
    """Compose with every value of every swept override, each beside the first value of the others.

    Args:
        overrides: as on the command line; the lists of a preset (``sweep=zoo``) are checked too.

    Returns:
        Path: the sweep's folder.

    Raises:
        UsageError: as `compose`; or DDP is asked for where each of its processes would start a sweep of its own.
    """
    given = [override.input_line or "" for override in _parse(overrides)]
    first = [each[0] for override in _parse(given) if (each := _values(override))]
    with _loader() as loader:
        try:
            sweep = loader.load_configuration("train", [*given, "hydra.mode=MULTIRUN"], RunMode.MULTIRUN)
        except (HydraException, OmegaConfBaseException) as error:
            raise explain(error, first) from error
        composer = Composer(loader, fresh=True)
        for job in _samples(sweep.hydra.sweeper, given):
            try:
                config = composer.load_sweep_config(sweep, job)
            except (HydraException, OmegaConfBaseException) as error:
                raise explain(error, job) from error
            config = finish(config, config.hydra, "")
            if config.resume:
                raise UsageError("resume continues one run: a sweep continues its own runs when it is started again")
            check_processes(config.hardware, sweep.hydra.launcher._target_)
        return Path(sweep.hydra.sweep.dir)


def _samples(sweeper: DictConfig, given: Sequence[str]) -> Iterator[list[str]]:
    """Jobs that between them have every value of a sweep."""
    if sweeper.get("retry"):
        return  # which jobs these are, only the sweep's folder knows
    task = [override.input_line or "" for override in _parse(given) if not override.is_hydra_override()]
    for line in products(sweeper.get("params"), sweeper.get("lines"), task):
        unique = {override.get_key_element(): override for override in _parse(line)}
        values = [_telling(each) for override in unique.values() if (each := _values(override))]
        first = [each[0] for each in values]
        yield first
        for position, each in enumerate(values):
            for value in each[1:]:
                yield [*first[:position], value, *first[position + 1 :]]


def _telling(values: list[str]) -> list[str]:
    """All values; of whole numbers only the ends, for whatever is allowed there is allowed between them."""
    texts = [text.partition("=")[2] for text in values]
    if not all(text.lstrip("-").isdigit() for text in texts):
        return values
    ordered = sorted(zip(map(int, texts), values, strict=True))
    return list(dict.fromkeys([ordered[0][1], ordered[-1][1]]))


def finish(config: DictConfig, hydra_config: Any, run_dir: str | Path) -> DictConfig:
    """Take Hydra's own part out of a composed configuration, keep the choices and overrides, and check it.

    Returns:
        DictConfig: with ``choices`` (group -> option), ``overrides`` (what the user wrote) and the real ``run_dir``.
    """
    chosen = {g: o for g, o in hydra_config.runtime.choices.items() if not g.startswith("hydra/")}
    overrides = [str(override) for override in hydra_config.overrides.task]
    several = _several(overrides)
    with open_dict(config):
        if "logger" in several:
            config.logger.name, chosen["logger"] = several["logger"], ",".join(several["logger"])
        config.pop("hydra", None)
        config.run_dir = str(run_dir)
        config.choices = chosen
        config.latent = _latent(config.latent, chosen)
        config.overrides = overrides
    check(config)
    return config


def _several(overrides: Sequence[str]) -> dict[str, list[str]]:
    """The groups of which several options are chosen, which only loggers allow: Hydra would merge them in silence."""
    chosen = {}
    for override in _parse(overrides):
        group, value = override.key_or_group, override.value()
        if isinstance(value, list) and group in groups():
            chosen[group] = [str(name) for name in value]
            for name in chosen[group]:
                _check_option(group, name)
            if group != "logger":
                each = ",".join(chosen[group])
                raise UsageError(f"{group}=[{each}]: a run takes one {group}; -m {group}={each} runs each")
    return chosen


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
        check_plugin(getattr(error, "missing_cfg_file", None))
        parsed = _parse(overrides)
        _several(overrides)
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
    elif override.is_range_sweep():
        texts = list(override.sweep_string_iterator())
        texts = [texts[0], texts[-1]]  # what lies between them is of the same type
    elif override.is_discrete_sweep():
        texts = override.sweep_string_iterator()
    elif override.is_interval_sweep():
        texts = [str(value.start), str(value.end)]  # type: ignore[union-attr]
    else:
        return []
    return [f"{override.get_key_element()}={text}" for text in texts]


def _compose(overrides: list[str]) -> DictConfig:
    _several(overrides)
    with _loader():
        try:
            return hydra.compose("train", overrides, return_hydra_config=True)
        except (HydraException, OmegaConfBaseException) as error:
            raise explain(error, overrides) from error


@contextmanager
def _loader() -> Iterator[ConfigLoader]:
    """Hydra's composer on our conf folders; whatever else uses Hydra in this process finds it as it was."""
    install()
    _check_duplicates()
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3", job_name="train"):
            yield GlobalHydra.instance().config_loader()
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


install()  # here, so that a worker of a launcher that unpickles a job has it all
