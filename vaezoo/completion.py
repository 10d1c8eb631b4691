"""Completion of the command line in bash, answered from the registry and the conf folder without importing torch."""

import dataclasses

from vaezoo import choices, describe, registry, settings

BASH = """\
_vaezoo() {
    local IFS=$'\\n'
    COMPREPLY=($(vaezoo complete -- "${COMP_LINE:0:COMP_POINT}" 2>/dev/null))
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then compopt -o nospace; fi
}
complete -o default -F _vaezoo vaezoo"""
COMMANDS = (
    "list",
    "show",
    "train",
    "sweep",
    "evaluate",
    "sample",
    "explore",
    "dashboard",
    "table",
    "figure",
    "new",
    "completion",
)


def candidates(line: str) -> list[str]:
    """What may stand in place of the last word of a command line; after "=", what may follow it."""
    *before, word = line.split(" ")
    before = [other for other in before[1:] if other]
    if not before:
        return [command for command in COMMANDS if command.startswith(word)]
    if before[0] == "show":
        known = {*choices.groups(), *(name for group in choices.groups() for name in choices.options(group))}
        return sorted(name for name in known if name.startswith(word))
    if before == ["sweep"]:
        return [name for name in (*choices.options("sweep"), "status", "retry") if name.startswith(word)]
    return _overrides(before[1:], word) if before[0] in ("train", "sweep") else []


def _overrides(before: list[str], word: str) -> list[str]:
    group, equals, value = word.partition("=")
    if equals:
        done, comma, last = value.rpartition(",")
        known = choices.options(group) if group in choices.groups() else []
        return [f"{done}{comma}{option}" for option in known if option.startswith(last)]
    group, dot, key = word.partition(".")
    if not dot:
        return [f"{name}=" for name in choices.groups() if name.startswith(word)]
    return [f"{group}.{name}=" for name in _keys(group, before) if name.startswith(key)]


def _keys(group: str, before: list[str]) -> list[str]:
    if group in settings.SCHEMAS:
        return [field.name for field in dataclasses.fields(settings.SCHEMAS[group])]
    chosen = next((word.partition("=")[2] for word in before if word.startswith(f"{group}=")), choices.default(group))
    if group in registry.GROUPS and chosen in registry.names(group):
        return [key for key, _, _ in describe.signature(group, chosen)]
    return []
