"""What `vaezoo show` prints of groups whose options are YAML files, read from the files and the schema."""

import ast
import inspect
import re
import textwrap

from vaezoo import choices, registry, settings

FIRST = {"hardware": "auto"}  # the option that the others start from, where it is not the one of train.yaml
LINE = re.compile(r"^(?P<indent> *)(?P<key>\w+):(?: +(?P<value>.*?))?(?: +# (?P<comment>.*))?$")


def groups() -> list[str]:
    """The groups whose options are YAML files."""
    return [group for group in choices.groups() if group not in registry.GROUPS and group != "jobs"]


def rows(group: str) -> list[tuple[str, str]]:
    """Each option of a group with the first comment of its file."""
    return [(name, headline(_text(group, name))) for name in choices.options(group)]


def page(group: str) -> str:
    """Every option of a group, every key, and what an option sets of the launcher that it names."""
    from vaezoo.describe import table

    every = {name: entries(_text(group, name), group) for name in choices.options(group)}
    options = [("OPTION", "WHAT IT IS"), *((f"{group}={name}", about) for name, about in rows(group))]
    parts = [table(options)]
    if group in settings.SCHEMAS:
        parts.append(table(_keys(group, every)))
    else:
        parts.append(f"The keys of one of them: vaezoo show {group}={next(iter(every))}")
    for name, lines in every.items():
        own = [(key, *line) for key, line in lines.items() if key.startswith("hydra.launcher.") and line[0]]
        if own:
            parts.append(table([(f"WITH {group}={name}", "VALUE", ""), *own]))
    return "\n\n".join(parts)


def option_page(group: str, name: str) -> str:
    """What one YAML file is for, and the keys that it sets."""
    from vaezoo.describe import table

    text = _text(group, name)
    lines = [
        (key, *line)
        for key, line in entries(text, group).items()
        if line[0] and key not in ("defaults", f"{group}.defaults", "_target_")
    ]
    prefix = "" if group in choices.GLOBAL else f"{group}."
    keys = [(key if "hydra" in key else f"{prefix}{key}", value, comment) for key, value, comment in lines]
    return "\n\n".join(filter(None, [f"{group}={name}", headline(text), table([("KEY", "VALUE", ""), *keys])]))


def _keys(group: str, every: dict[str, dict[str, tuple[str, str]]]) -> list[tuple[str, ...]]:
    first = every.get(FIRST.get(group, choices.default(group)), {})
    found: list[tuple[str, ...]] = [("KEY", "DEFAULT", "TYPE", "")]
    for key, (kind, default) in _fields(group).items():
        told = [line[key] for line in (first, *every.values()) if key in line]
        comment = next((comment for _, comment in told if comment), "")
        found.append((f"{group}.{key}", first.get(key, (default, ""))[0], kind, comment))
    return found


def _text(group: str, name: str) -> str:
    return choices.file(group, name).read_text(encoding="utf-8-sig")


def headline(text: str) -> str:
    """The first comment of a YAML file that stands on a line of its own."""
    comments = (line[1:].strip() for line in text.splitlines() if line.startswith("#"))
    return next((comment for comment in comments if not comment.startswith("@")), "")


def entries(text: str, group: str = "hardware") -> dict[str, tuple[str, str]]:
    """The keys of a YAML file with their values and the comments behind them; keys of the group have no prefix."""
    found: dict[str, tuple[str, str]] = {}
    path: list[tuple[int, str]] = []
    for line in text.splitlines():
        match = LINE.match(line)
        if not match:
            continue
        depth = len(match["indent"])
        path = [(at, key) for at, key in path if at < depth] + [(depth, match["key"])]
        name = ".".join(key for _, key in path).removeprefix(f"{group}.")
        found[name] = (match["value"] or "", match["comment"] or "")
    return found


def _fields(group: str) -> dict[str, tuple[str, str]]:
    """Type and default of each key, as the schema's source has them."""
    node = ast.parse(textwrap.dedent(inspect.getsource(settings.SCHEMAS[group]))).body[0]
    assert isinstance(node, ast.ClassDef)
    found = {}
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            found[item.target.id] = (_words(ast.unparse(item.annotation)), _default(item.value))
    return found


def _default(value: ast.expr | None) -> str:
    if not isinstance(value, ast.Constant):
        return "[]"  # a list made by a field's factory
    words = {None: "null", True: "true", False: "false"}
    is_word = value.value is None or isinstance(value.value, bool)
    return words[value.value] if is_word else str(value.value)  # type: ignore[index]


def _words(annotation: str) -> str:
    """``int | Literal['auto']`` -> ``int | auto``."""
    return re.sub(r"Literal\[(.*?)\]", lambda m: m[1].replace("'", "").replace(", ", " | "), annotation)
