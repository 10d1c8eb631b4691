"""What `vaezoo show hardware` prints, read from the YAML files and the schema."""

import ast
import inspect
import re
import textwrap

from vaezoo import choices, settings

GROUP = "hardware"
LINE = re.compile(r"^(?P<indent> *)(?P<key>\w+):(?: +(?P<value>.*?))?(?: +# (?P<comment>.*))?$")


def page() -> str:
    """Every option of the group, every key, and what an option sets of the launcher that it names."""
    from vaezoo.describe import table

    texts = {name: choices.file(GROUP, name).read_text(encoding="utf-8") for name in choices.options(GROUP)}
    every = {name: entries(text) for name, text in texts.items()}
    options = [("OPTION", "WHAT IT IS"), *((f"{GROUP}={name}", headline(text)) for name, text in texts.items())]
    rows = [("KEY", "DEFAULT", "TYPE", "")]
    for key, kind in _types().items():
        told = [line[key] for line in (every["auto"], *every.values()) if key in line]
        value = every["auto"].get(key, ("null", ""))[0]
        rows.append((f"{GROUP}.{key}", value, kind, next((comment for _, comment in told if comment), "")))
    parts = [table(options), table(rows)]
    for name, lines in every.items():
        own = [(key, *line) for key, line in lines.items() if key.startswith("hydra.launcher.") and line[0]]
        if own:
            parts.append(table([(f"WITH {GROUP}={name}", "VALUE", ""), *own]))
    return "\n\n".join(parts)


def headline(text: str) -> str:
    """The first comment of a YAML file that stands on a line of its own."""
    comments = (line[1:].strip() for line in text.splitlines() if line.startswith("#"))
    return next((comment for comment in comments if not comment.startswith("@")), "")


def entries(text: str) -> dict[str, tuple[str, str]]:
    """The keys of a YAML file with their values and the comments behind them; keys of the group have no prefix."""
    found: dict[str, tuple[str, str]] = {}
    path: list[tuple[int, str]] = []
    for line in text.splitlines():
        match = LINE.match(line)
        if not match:
            continue
        depth = len(match["indent"])
        path = [(at, key) for at, key in path if at < depth] + [(depth, match["key"])]
        name = ".".join(key for _, key in path).removeprefix(f"{GROUP}.")
        found[name] = (match["value"] or "", match["comment"] or "")
    return found


def _types() -> dict[str, str]:
    """Name and type of each key, as the schema's source has them."""
    node = ast.parse(textwrap.dedent(inspect.getsource(settings.Hardware))).body[0]
    assert isinstance(node, ast.ClassDef)
    fields = [item for item in node.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)]
    return {item.target.id: _words(ast.unparse(item.annotation)) for item in fields}  # type: ignore[union-attr]


def _words(annotation: str) -> str:
    """``int | Literal['auto']`` -> ``int | auto``."""
    return re.sub(r"Literal\[(.*?)\]", lambda m: m[1].replace("'", "").replace(", ", " | "), annotation)
