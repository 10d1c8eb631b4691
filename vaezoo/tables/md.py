"""Tables in Markdown, as GitHub and Sphinx read them."""

from collections.abc import Sequence

from vaezoo.tables.sheet import Sheet, title
from vaezoo.tables.txt import field, notes, raised


def draw(sheets: Sequence[Sheet]) -> str:
    """The tables with their footnotes, each under its title."""
    blocks = []
    for sheet in sheets:
        lines = [f"**{sheet.title}**", "", _line(["model", "seeds", *map(title, sheet.columns)])]
        lines += [f"|:--|{'--:|' * (len(sheet.columns) + 1)}"]
        for label, marks, seeds, cells in sheet.rows:
            fields = [f"**{field(cell)}**" if cell.best else field(cell) for cell in cells]
            lines.append(_line([f"`{label}`{raised(marks)}", seeds, *fields]))
        blocks.append("\n".join([*lines, "", "<br>\n".join(notes(sheet, "Bold"))]).rstrip())
    return "\n\n".join(blocks)


def _line(fields: Sequence[str]) -> str:
    return f"| {' | '.join(text.replace('|', chr(92) + '|') for text in fields)} |"
