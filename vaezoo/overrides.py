"""The words KEY=VALUE of a command line: what they mean to Hydra, and what no composition has to find out."""

import os
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from vaezoo import registry
from vaezoo.checks import check_value
from vaezoo.choices import groups, options
from vaezoo.errors import UsageError, near

MOST = 200  # characters of a key; Hydra looks for a file of this name
LONGEST = 100  # characters of a value in a message


def parse(overrides: Sequence[str]) -> list[Override]:
    """As Hydra parses them.

    Raises:
        UsageError: one of them cannot be read.
    """
    words = list(overrides)
    for position, word in enumerate(words):
        if not word.partition("=")[0].partition("@")[0].strip("+~ "):
            raise UsageError(f"cannot read {shortened(word)!r}: there is no key; write KEY=VALUE, such as seed=1")
        if "=" not in word and not word.startswith("~"):
            following = words[position + 1] if position + 1 < len(words) else "="
            example = f"{word}={following if '=' not in following else 'VALUE'}"
            raise UsageError(f"cannot read {shortened(word)!r}: write KEY=VALUE, such as {shortened(example)}")
        if len(word.partition("=")[0]) > MOST:
            raise UsageError(f"cannot read {shortened(word)!r}: a key has at most {MOST} characters")
        try:
            OverridesParser.create().parse_override(word)
        except (HydraException, RecursionError, ValueError) as error:  # ValueError: an integer of over 4300 digits
            reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error).partition("\n")[0]
            raise UsageError(f"cannot read {shortened(word)!r}: {shortened(reason)}") from error
    return OverridesParser.create().parse_overrides(words)


def expanded(words: Sequence[str]) -> list[str]:
    """The words with ``KEY=~/x`` as ``KEY='/home/me/x'``: shells leave that ``~`` alone, and Hydra does not read it."""
    found = []
    for word in words:
        key, equals, value = word.partition("=")
        home = os.path.expanduser(value) if value.startswith("~") and "," not in value else value
        found.append(word if home == value else f"{key}{equals}'" + home.replace("'", "\\'") + "'")
    return found


def check_words(overrides: Sequence[str]) -> None:
    """Refuses what Hydra accepts in silence, or ends in an error of its own.

    Raises:
        UsageError: an override names an option that does not exist, or gives a group something else than an option.
    """
    several(overrides)
    _one_folder(overrides)
    for override in parse(overrides):
        key, line = override.key_or_group, shortened(override.input_line or "")
        if key == "hydra" or (key in groups() and override.is_delete()):
            what = "removed" if override.is_delete() else "set as a whole"
            raise UsageError(
                f"{key} cannot be {what} ({line}; options: {', '.join(options(key)) or 'hydra.verbose, ...'})"
            )
        if override.is_sweep_override() or override.is_delete():
            continue
        value = override.value()
        check_value(key, value)
        if key in groups() and override.package is None and not isinstance(value, list):
            check_option(key, value)


def _one_folder(overrides: Sequence[str]) -> None:
    """Lightning's DDP gives its processes ``hydra.run.dir``: the folder that ``run_dir`` names, or there are two."""
    given = {o.key_or_group: o.value() for o in parse(overrides) if not (o.is_delete() or o.is_sweep_override())}
    asked, other = given.get("run_dir"), given.get("hydra.run.dir")
    if asked and other and os.path.realpath(str(asked)) != os.path.realpath(str(other)):
        raise UsageError(f"hydra.run.dir={other} and run_dir={asked} name two folders: leave hydra.run.dir out")


def several(overrides: Sequence[str]) -> dict[str, list[str]]:
    """The groups of which several options are chosen, which only loggers allow: Hydra would merge them in silence."""
    chosen = {}
    for override in parse(overrides):
        group, value = override.key_or_group, override.value()
        if isinstance(value, list) and group in groups():
            chosen[group] = [str(name) for name in value]
            for name in chosen[group]:
                check_option(group, name)
            if group != "logger":
                each = ",".join(chosen[group])
                raise UsageError(f"{group}=[{each}]: a run takes one {group}; -m {group}={each} runs each")
    return chosen


def check_option(group: str, name: Any) -> None:
    """Whether a group has an option.

    Raises:
        UsageError: it has not, or the option's package is broken; the message has the options there are.
    """
    if group not in groups():
        return
    if isinstance(name, str) and group in registry.GROUPS and name in registry.names(group):
        registry.find(group, name)
        return
    known = options(group)
    if name in known:
        return
    shown = "null" if name is None else shortened(str(name))
    place = f"; a file of yours is found as conf/{group}/NAME.yaml" if "/" in shown or shown.endswith("yaml") else ""
    raise UsageError(f"{group}={shown} is unknown{near(shown, known) or place} (options: {', '.join(known)})")


def shortened(text: str) -> str:
    """The beginning of a long text, in one line."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."
