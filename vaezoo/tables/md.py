"""Tables in Markdown, as GitHub and Sphinx read them."""

import re
from collections.abc import Sequence

from vaezoo.tables.sheet import Sheet, title
from vaezoo.tables.txt import field, notes, raised


def draw(sheets: Sequence[Sheet]) -> str:
    """The tables with their footnotes, each under its title."""
    blocks = []
    for sheet in sheets:
        heads = [escaped(title(metric)) for metric in sheet.columns]
        lines = [f"**{escaped(sheet.title)}**", "", _line(["model", "seeds", *heads])]
        lines += [f"|:--|{'--:|' * (len(sheet.columns) + 1)}"]
        for label, marks, seeds, cells in sheet.rows:
            fields = [f"**{field(cell)}**" if cell.best else field(cell) for cell in cells]
            lines.append(_line([f"{_code(label)}{raised(marks)}", seeds, *fields]))
        blocks.append("\n".join([*lines, "", "<br>\n".join(map(escaped, notes(sheet, "Bold")))]).rstrip())
    return "\n\n".join(blocks)


def escaped(text: str) -> str:
    """Text that Markdown shows as it is; an underscore within a word needs no mark."""
    return re.sub(r"[\\`*\[\]<>&~]", r"\\\g<0>", text)


def _code(text: str) -> str:
    """Text as code, between more backticks than there are in it."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    room = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{room}{text}{room}{fence}"


def _line(fields: Sequence[str]) -> str:
    return f"| {' | '.join(text.replace('|', chr(92) + '|') for text in fields)} |"
