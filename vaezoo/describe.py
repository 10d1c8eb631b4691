"""What `vaezoo list` and `vaezoo show` print, read from the sources of variants and parts without importing them."""

import ast
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

from vaezoo import choices, registry, yaml_page
from vaezoo.errors import UsageError, near

REQUIRED = "must be given"


def listing(group: str = "variant", family: str | None = None) -> str:
    """A table of the names of a group; what is broken says why.

    Raises:
        UsageError: there is no such group or family.
    """
    if group in yaml_page.groups():
        return table([("NAME", "WHAT IT IS"), *yaml_page.rows(group)])
    if group not in registry.GROUPS:
        known = [*registry.GROUPS, *yaml_page.groups()]
        raise UsageError(f"--group {group} is unknown{near(group, known)} (groups: {', '.join(known)})")
    rows = [("NAME", "FAMILY", "PAPER", "STATUS") if group == "variant" else ("NAME", "", "WHAT IT IS", "")]
    families = set()
    for name, entry in sorted(registry.entries(group).items()):
        origin = "" if entry.distribution == "vaezoo" else f" ({entry.distribution})"
        if entry.broken:
            rows.append((name, "", "", f"broken{origin}: {entry.broken}"))
            continue
        card = registry.card(group, name)
        families.add(card.family)
        if family is None or card.family == family:
            what, status = (card.paper, card.status) if group == "variant" else (_summary(group, name), "")
            rows.append((name, card.family if group == "variant" else "", what, status + origin))
    if family is not None and family not in families:
        named = sorted(filter(None, families))
        raise UsageError(f"--family {family} is unknown{near(family, named)} (families: {', '.join(named)})")
    return table(rows)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned text; empty columns are left out."""
    widths = [max(map(len, column)) for column in zip(*([("",) * len(rows[0]), *rows]), strict=True)]
    used = [any(row[k] for row in rows[1:]) for k in range(len(widths))]
    lines = ("  ".join(cell.ljust(w) for cell, w, u in zip(row, widths, used, strict=True) if u) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def page(name: str) -> str:
    """Equation, options and card of every variant or part of a name; options of YAML groups with their keys.

    Args:
        name: ``beta_vae``, or ``encoder=mlp`` where several groups have the name; a group such as ``dataset``.

    Raises:
        UsageError: nothing has this name.
    """
    if name in yaml_page.groups():
        return yaml_page.page(name)
    if name in registry.GROUPS:
        return listing(name)
    group, _, stem = name.rpartition("=")
    names = {**{g: registry.names(g) for g in registry.GROUPS}, **{g: choices.options(g) for g in yaml_page.groups()}}
    searched = [g for g in names if group in ("", g)]
    found = [g for g in searched if stem in names[g]]
    if not found:
        known = sorted({*(other for g in searched or names for other in names[g]), *([] if group else names)})
        raise UsageError(
            f"{name or repr(name)} is not a variant, a part or an option{near(stem, known)} (names: {', '.join(known)})"
        )
    return "\n\n\n".join(_page(g, stem) if g in registry.GROUPS else yaml_page.option_page(g, stem) for g in found)


def _page(group: str, name: str) -> str:
    entry, card = registry.find(group, name), registry.card(group, name)
    lines = [f"{group}={name}  ({entry.target}, {entry.distribution})", "", _docstring(group, name)]
    if arguments := signature(group, name):
        lines += ["", "Options:", *(f"  {group}.{key}: {kind} = {default}" for key, kind, default in arguments)]
    facts = {
        "Paper": "  ".join(filter(None, [card.paper, card.url])),
        "Status": card.status if group == "variant" else "",
        "Limits": "; ".join(f"{other} at {_values(at)}" for other, at in card.limits.items()),
        "Default parts": ", ".join(f"{other}={part}" for other, part in card.defaults.items()),
        "Needs": ", ".join(card.requires),
        "Tests": ", ".join(card.identities),
        "Results": ", ".join(f"vaezoo train experiment={stem}" for stem in card.reproduces),
    }
    return "\n".join([*lines, "", *(f"{title}: {text}" for title, text in facts.items() if text)]).rstrip()


def _values(at: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in at.items()) or "its defaults"


def signature(group: str, name: str) -> list[tuple[str, str, str]]:
    """Name, type and default of each option of a class, as written in its source."""
    init = registry.initialiser(group, name)
    if init is None:
        return []
    plain, keyword = init.args.posonlyargs + init.args.args, init.args.kwonlyargs
    required = [None] * (len(plain) - len(init.args.defaults))
    defaults = [*required, *init.args.defaults, *init.args.kw_defaults]
    return [
        (a.arg, ast.unparse(a.annotation) if a.annotation else "any", ast.unparse(d) if d else REQUIRED)
        for a, d in zip(plain + keyword, defaults, strict=True)
        if a.arg not in ("self", *registry.HANDED)
    ]


def _summary(group: str, name: str) -> str:
    first = _docstring(group, name).partition("\n\n")[0].replace("\n", " ")
    return re.sub(r":\w+:`([^`]*)`|`+([^`]*)`+", r"\1\2", first)


def _docstring(group: str, name: str) -> str:
    node = registry.definition(group, name)
    return (ast.get_docstring(node) if node else inspect.getdoc(registry.load(group, name))) or ""
