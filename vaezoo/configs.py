"""From the command line to a checked configuration: registry and signatures become Hydra's options."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
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
from hydra.core.override_parser.types import Glob, Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import MISSING, DictConfig, OmegaConf, open_dict
from omegaconf.errors import InterpolationKeyError, InterpolationResolutionError, OmegaConfBaseException

from vaezoo import describe, identity, registry
from vaezoo.checks import arguments, check, check_path, unresolved
from vaezoo.choices import NONE, conf_dir, groups, options, own_dirs, plugin_dirs, registered
from vaezoo.conf_files import SCHEME, ConfFolder
from vaezoo.errors import UsageError
from vaezoo.overrides import check_option, check_words, expanded, parse, several
from vaezoo.sweep.composer import Composer
from vaezoo.sweep.done import products
from vaezoo.sweep.in_turn import InTurn, InTurnConf
from vaezoo.sweep.plugins import check_plugin
from vaezoo.sweep.pool import Pool, PoolConf
from vaezoo.sweep.slots import check_processes
from vaezoo.sweep.study import searched
from vaezoo.sweep.sweeper import Jobs, JobsConf

LATENT = 20  # size of z where nothing prefers another
PATHS = ("run_dir", "sweep_dir", "resume")
_sketching = ContextVar("_sketching", default=False)  # whether classes are read from their sources only


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
        if name == NONE:
            config = OmegaConf.create({})
        else:
            config = (
                OmegaConf.create(_sketch(group, name)) if _sketching.get() else OmegaConf.structured(node(group, name))
            )
        return ConfigResult(self.provider, self.full_path(), config, header={"package": None})


class _SearchPath(SearchPathPlugin):
    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        main = SearchPathQuery(provider="main")
        ours = (item for item in search_path.get_path() if item.provider == "main")
        own = next((item for item in ours if item.path in (str(conf_dir()), f"file://{conf_dir()}")), None)
        if own is None:
            return  # another application's Hydra
        own.path = f"{SCHEME}://{conf_dir()}"
        search_path.append("vaezoo", "vaezoo://", anchor=main)
        for owner, folder in {**plugin_dirs(), **own_dirs()}.items():
            search_path.append(owner, f"{SCHEME}://{folder}", anchor=main)


@cache
def install() -> None:
    """Make the registry, the plugins' conf folders and our resolver known to Hydra."""
    Plugins.instance().register(_Registry)
    Plugins.instance().register(_SearchPath)
    Plugins.instance().register(ConfFolder)
    _publish(Jobs, Pool, InTurn)
    ConfigStore.instance().store(group="hydra/launcher", name="pool", node=PoolConf, provider="vaezoo")
    ConfigStore.instance().store(group="hydra/launcher", name="in_turn", node=InTurnConf, provider="vaezoo")
    ConfigStore.instance().store(group="hydra/sweeper", name="jobs", node=JobsConf, provider="vaezoo")
    OmegaConf.register_new_resolver("vz_folder", _folder, replace=True)
    OmegaConf.register_new_resolver("vz_gpus", _gpus, replace=True)
    OmegaConf.register_new_resolver("vz_path", lambda path: os.path.expanduser(str(path)), replace=True)


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


def _sketch(group: str, name: str) -> dict[str, Any]:
    """The keys of `node`, read from the source."""
    required = describe.REQUIRED
    keys = {key: MISSING if default == required else None for key, _, default in describe.signature(group, name)}
    parts = registry.card(group, name).defaults.items()
    chosen = [{f"override /{other}@_global_.{other}": part} for other, part in parts]
    return {**({"defaults": [*chosen, "_self_"]} if chosen else {}), **keys}


def _check_names(overrides: Sequence[str]) -> None:
    """Names, and values of YAML groups, before torch is imported, which takes seconds."""
    if "torch" in sys.modules:
        return
    token = _sketching.set(True)
    try:
        config = _compose(list(overrides))
        finish(config, config.hydra, config.run_dir, classes=False)
    finally:
        _sketching.reset(token)


def compose(overrides: Sequence[str] = ()) -> DictConfig:
    """The configuration that ``vaezoo train OVERRIDES`` trains, checked.

    Args:
        overrides: as on the command line, e.g. ``["variant=beta_vae", "variant.beta=8"]``.

    Raises:
        UsageError: an override names something that does not exist, or has a value of the wrong type.
    """
    words = expanded(overrides)
    _check_names(words)
    config = _compose(words)
    with _explained(words):
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
    given = expanded(overrides)
    for text in given:
        if text.startswith("run_dir="):
            raise UsageError(
                f"{text} is not an option of a sweep, whose runs lie in folders of their own: use sweep_dir="
            )
    first = [each[0] for override in parse(given) if (each := _values(override))]
    _check_names([text for text in first if not text.startswith("~")])
    with _loader() as loader:
        with _explained(first):
            sweep = loader.load_configuration("train", [*given, "hydra.mode=MULTIRUN"], RunMode.MULTIRUN)
        composer = Composer(loader, fresh=True)
        params = _params(sweep.hydra)
        for job in _samples(sweep.hydra.sweeper, params, given):
            check_words(job)
            try:
                with _explained(job):
                    config = composer.load_sweep_config(sweep, job)
            except UsageError as error:
                raise _undroppable(error, params, given) from error
            with _explained(job):
                config = finish(config, config.hydra, sweep.hydra.sweep.dir)
            if config.resume:
                raise UsageError("resume continues one run: a sweep continues its own runs when it is started again")
            check_processes(config.hardware, sweep.hydra.launcher._target_)
        return Path(sweep.hydra.sweep.dir)


def _params(settings: DictConfig) -> dict[str, Any]:
    """What a preset sweeps or searches, as one product."""
    study = settings.get("callbacks", {}).get("study", {})
    return searched(settings.sweeper.get("params"), study.get("drop", ()))


def _undroppable(error: UsageError, params: Mapping[str, Any], given: Sequence[str]) -> UsageError:
    """Says how a search goes on without a parameter that this variant or dataset does not have."""
    key = next((key for key in params if str(error).startswith(f"{key} is not an option")), None)
    named = any(text.startswith(f"{key}=") for text in given)
    return error if key is None or named else UsageError(f"{error}; '~{key}' leaves it out of the search")


def _samples(sweeper: DictConfig, params: Mapping[str, Any], given: Sequence[str]) -> Iterator[list[str]]:
    """Jobs that between them have every value of a sweep."""
    if sweeper.get("retry"):
        return  # which jobs these are, only the sweep's folder knows
    task = [override.input_line or "" for override in parse(given) if not override.is_hydra_override()]
    for line in products(params, sweeper.get("lines"), task):
        unique = {override.get_key_element(): override for override in parse(line)}
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


def finish(config: DictConfig, hydra_config: Any, run_dir: str | Path, classes: bool = True) -> DictConfig:
    """Take Hydra's own part out of a composed configuration, keep the choices and overrides, and check it.

    Args:
        config: what Hydra composed.
        hydra_config: its node ``hydra``.
        run_dir: the folder of the run.
        classes: check the arguments of classes too.

    Returns:
        DictConfig: with ``choices`` (group -> option), ``overrides`` (what the user wrote) and the real ``run_dir``.
    """
    chosen = {g: o for g, o in hydra_config.runtime.choices.items() if not g.startswith("hydra/")}
    overrides = [str(override) for override in hydra_config.overrides.task]
    listed = several(overrides)
    if not OmegaConf.is_interpolation(config, "run_dir") and not isinstance(config.run_dir, str | int):
        raise UsageError(f"run_dir={'null' if config.run_dir is None else config.run_dir} must be a path")
    with open_dict(config):
        if "logger" in listed:
            config.logger.name, chosen["logger"] = listed["logger"], ",".join(listed["logger"])
        config.pop("hydra", None)
        config.run_dir = str(run_dir)
        for name in PATHS:
            if isinstance(config.get(name), str):
                config[name] = os.path.expanduser(config[name])
        config.choices = chosen
        config.latent = _latent(config.latent, chosen)
        config.overrides = overrides
    check(config, classes)
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
        missing = getattr(error, "missing_cfg_file", None)
        check_plugin(missing)
        parsed = parse(overrides)
        several(overrides)
        for override in parsed:
            if override.is_sweep_override():
                key, line = override.key_or_group, override.input_line or ""
                quoted = (
                    f"""; a name with a comma is quoted: '{key}="{line.partition("=")[2]}"'""" if key in PATHS else ""
                )
                raise UsageError(f"{line} lists several values: add -m to run one after the other{quoted}")
        chosen = [o for o in parsed if o.key_or_group in groups() or "/" in o.key_or_group]
        for override in chosen:
            check_option(override.key_or_group, override.value())
        if len(chosen) < len(parsed):
            bare = _compose([override.input_line or "" for override in chosen])
            for override in parsed:
                if override not in chosen and not override.is_add():
                    check_path(override.key_or_group.split("."), override.value(), bare)
    except UsageError as found:
        return found
    if missing:
        try:
            check_option(*str(missing).rsplit("/", 1))
        except (UsageError, TypeError) as found:
            return UsageError(str(found))
    if isinstance(error, InterpolationKeyError | InterpolationResolutionError | RecursionError):
        guilty = [line for line in overrides if "${" in line]
        return UsageError(f"{guilty[0]}: {unresolved(error)}" if guilty else unresolved(error))
    lines = [line.strip() for line in (*str(error).splitlines(), *str(error.__cause__ or "").splitlines())]
    return UsageError(" ".join(dict.fromkeys(line for line in lines[:4] if line)))


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
    check_words(overrides)
    with _loader(), _explained(overrides):
        return hydra.compose("train", overrides, return_hydra_config=True)


@contextmanager
def _explained(overrides: Sequence[str]) -> Iterator[None]:
    """What Hydra and OmegaConf raise on these overrides, as UsageError."""
    try:
        yield
    except UsageError:
        raise
    except (
        HydraException,
        OmegaConfBaseException,
        ValueError,
        OverflowError,
        RecursionError,
    ) as error:
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


def _check_duplicates() -> None:
    """Two packages with the same option: Hydra would take one in silence."""
    owners: dict[Path, str] = {}
    known = {"vaezoo": conf_dir(), **plugin_dirs(), **own_dirs()}
    for owner, root in known.items():
        for file in root.glob("*/*.yaml"):
            if file.parent.name not in groups():
                continue
            rival = owners.setdefault(file.relative_to(root), owner)
            if rival != owner:
                name = f"{file.parent.name}={file.stem}"
                raise UsageError(f"{name} is defined by both {rival} and {owner}: rename one, or remove it")


install()  # here, so that a worker of a launcher that unpickles a job has it all
