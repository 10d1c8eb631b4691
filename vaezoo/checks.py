"""Whether the options in a composed configuration exist and have the right type and range."""

import inspect
import math
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Union

from hydra.utils import get_object
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vaezoo import registry, settings
from vaezoo.choices import GLOBAL, groups, options
from vaezoo.errors import UsageError, near
from vaezoo.suggest import full_key

DATA = "vaezoo.data.datamodule.DataModule"


def check(config: DictConfig, classes: bool = True) -> None:
    """Names, types and ranges of everything in a composed configuration.

    Args:
        config: what Hydra composed; the values are resolved.
        classes: check the arguments of classes too, which imports them and thereby torch.

    Raises:
        UsageError: the first thing that is wrong.
    """
    blocks = {*groups(), *settings.SCHEMAS}
    for group in (*registry.GROUPS, "dataset", *settings.SCHEMAS):
        if group not in config:
            raise UsageError(f"{group} cannot be removed (options: {', '.join(options(group))})")
    hints = typing.get_type_hints(settings.Top)
    plain, top = _plain(config), {}
    for name, value in plain.items():
        if name in hints:
            check_value(name, value)
            check_type(name, value, hints[name])
            top[name] = value
        elif name in blocks:
            if not isinstance(value, dict):
                raise UsageError(f"{name}={_shown(value)}: {name} has options: set one of them, e.g. {name}.key=value")
        elif name not in ("choices", "settled", "overrides"):
            raise UsageError(_unknown("", name, sorted({*hints, *blocks}), "", config))
    settings.Top(**top)
    for name in sorted(blocks & plain.keys(), key=lambda name: name not in settings.SCHEMAS):
        if name in GLOBAL:
            first = "# @package _global_"
            raise UsageError(f"{_choice(name, config)}: the first line of its file must be '{first}'")
        if classes or name in settings.SCHEMAS:
            _check_group(name, plain[name], config)


def check_value(name: str, value: Any) -> None:
    """Whether a value is one that a file and a tensor can hold: finite numbers, and text without control characters.

    Raises:
        UsageError: it, or something in it, is not.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            check_value(f"{name}.{key}", inner)
    elif isinstance(value, list):
        for inner in value:
            check_value(name, inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if value != value or value in (math.inf, -math.inf):
            raise UsageError(f"{name}={value} must be a finite number")
        if isinstance(value, int) and abs(value) >= 2**63:
            raise UsageError(f"{name}={_shown(value)} must be below 2**63 in size")
    elif isinstance(value, str) and any(ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 for c in value):
        raise UsageError(f"{name}={value!r} must be text in UTF-8 without control characters")


def check_path(path: Sequence[str], value: Any, config: DictConfig) -> None:
    """Whether a path leads to something that the value may replace."""
    level: Any = config
    for depth, key in enumerate(path):
        parents = ".".join(path[:depth])
        if not isinstance(level, DictConfig):
            raise UsageError(f"{parents} is a value: set it whole, e.g. {parents}={value}")
        if key not in level.keys():  # noqa: SIM118 - a value that must be given is not `in` a configuration
            known = [str(k) for k in level if not str(k).startswith("_") and k != "hydra"]
            known = known if depth else sorted({*known, *groups()})
            raise UsageError(_unknown(parents, key, known, _choice(parents, config), config))
        level = level._get_node(key)
    if len(path) == 2:
        hints, _ = _options_of(path[0], _plain(config[path[0]]))
        check_type(".".join(path), value, hints.get(path[1], Any))


def arguments(target: Any, handed: Sequence[str] = registry.HANDED) -> dict[str, inspect.Parameter]:
    """The arguments that a user may set."""
    named = inspect.signature(target).parameters.values()
    return {p.name: p for p in named if p.name not in handed and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}


def _check_group(group: str, values: Mapping[str, Any], config: DictConfig) -> None:
    hints, closed = _options_of(group, values)
    given = {name: value for name, value in values.items() if not name.startswith("_")}
    for name, value in given.items():
        if closed and name not in hints:
            raise UsageError(_unknown(group, name, list(hints), _choice(group, config), config))
        if value == MISSING:
            raise UsageError(f"{group}.{name} must be given for {_choice(group, config)}")
        check_value(f"{group}.{name}", value)
        check_type(f"{group}.{name}", value, hints.get(name, Any))
    if group in settings.SCHEMAS:
        settings.SCHEMAS[group](**given)
    elif values.get("_target_") == DATA:
        get_object(DATA)(**given)  # which checks its ranges, and reads no file


def _options_of(group: str, values: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Types of a group's options by name, and whether it takes no others."""
    if group in settings.SCHEMAS:
        return typing.get_type_hints(settings.SCHEMAS[group]), True
    if "_target_" not in values:
        return {}, group in registry.GROUPS
    try:
        target = get_object(values["_target_"])
    except (ImportError, ValueError) as error:
        raise UsageError(f"{group}._target_={values['_target_']} cannot be imported: {error}") from error
    hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    takes_more = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(target).parameters.values())
    handed = registry.HANDED if group in registry.GROUPS else ()
    return {k: hints.get(k, Any) for k in arguments(target, handed)}, group in registry.GROUPS or not takes_more


def _plain(config: DictConfig) -> dict[str, Any]:
    try:
        return typing.cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    except (OmegaConfBaseException, RecursionError) as error:
        raise UsageError(unresolved(error)) from error


def unresolved(error: Exception) -> str:
    """What to say of a value that refers to what is not there, or to itself."""
    key = getattr(error, "full_key", None)
    reason = "it refers to itself" if isinstance(error, RecursionError) else str(error).splitlines()[0]
    reason = reason.removeprefix("KeyError raised while resolving interpolation: ").replace("detected", "").strip()
    return f"{key}: {reason}" if key else reason


def check_type(name: str, value: Any, hint: Any) -> None:
    """Raises UsageError if the value is not of the type ``hint``."""
    members = _members(hint)
    if any(getattr(member, "__name__", "") == "Schedule" for member in members):
        from vaezoo.schedules import Schedule  # here, for it needs torch, which the options of YAML groups do not

        try:
            if value is not None or type(None) not in members:
                Schedule.parse(value)
        except UsageError as error:
            raise UsageError(f"{name}={_shown(value)}: {error}") from error
    elif not any(_fits(value, member) for member in members):
        words = [word for member in members for word in _words(member)]
        hint_near = near(str(value), words) if any(typing.get_origin(m) is Literal for m in members) else ""
        raise UsageError(f"{name}={_shown(value)}: expected {' or '.join(words)}, got {value!r}{hint_near}")


def _members(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)


def _fits(value: Any, hint: Any) -> bool:
    origin = typing.get_origin(hint) or hint
    if origin is Literal:
        return value in typing.get_args(hint)
    if origin in (None, type(None)):
        return value is None
    if origin is bool or isinstance(value, bool):
        return isinstance(value, bool) and origin in (bool, Any)
    if origin is float:
        return isinstance(value, int | float)
    if origin in (int, str):
        return isinstance(value, origin)
    if origin in (list, tuple, Sequence):
        inner = [_members(a) for a in typing.get_args(hint) if a is not Ellipsis] or [(Any,)]
        return isinstance(value, list) and all(any(_fits(v, m) for i in inner for m in i) for v in value)
    if origin in (dict, Mapping):
        return isinstance(value, dict)
    return True


def _words(hint: Any) -> Iterator[str]:
    names = {int: "an integer", float: "a number", str: "a word", bool: "true or false", type(None): "null"}
    if typing.get_origin(hint) is Literal:
        yield from map(str, typing.get_args(hint))
    elif typing.get_origin(hint) in (list, tuple, Sequence):
        inner = [w for a in typing.get_args(hint) if a is not Ellipsis for m in _members(a) for w in _words(m)]
        yield f"a list [{', '.join(inner)}]"
    else:
        yield names.get(hint, getattr(hint, "__name__", str(hint)))


def _shown(value: Any) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{k}:{_shown(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_shown, value)) + "]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _choice(group: str, config: DictConfig) -> str:
    choices = config.hydra.runtime.choices if "hydra" in config else config.get("choices", {})
    return f"{group}={choices[group]}" if group in choices else group


def _unknown(path: str, key: str, known: Sequence[str], owner: str, config: DictConfig) -> str:
    of = f" of {owner}" if owner else ""
    has = f"options: {', '.join(known)}" if known else "it has none"
    meant = near(key, known) if path else full_key(key, config) or near(key, known)
    return f"{f'{path}.' if path else ''}{key} is not an option{of}{meant} ({has})"
