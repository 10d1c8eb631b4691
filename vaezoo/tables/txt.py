"""Tables for a terminal, drawn by rich."""

import io
from collections.abc import Sequence

from vaezoo.tables.sheet import TIE, Cell, Sheet, title

WIDEST = 1000  # columns where there is no terminal that would be narrower


def draw(sheets: Sequence[Sheet]) -> str:
    """The tables with their footnotes, in colour if they go to a terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    terminal = Console().is_terminal
    console = Console(file=io.StringIO(), force_terminal=terminal, width=None if terminal else WIDEST)
    for sheet in sheets:
        console.print(sheet.title, style="bold", markup=False, highlight=False)
        drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
        drawn.add_column("model", overflow="fold")
        for head in ("seeds", *map(title, sheet.columns)):
            drawn.add_column(escape(head), justify="right")
        for label, marks, seeds, cells in sheet.rows:
            fields = [f"[bold]*{field(cell)}[/bold]" if cell.best else field(cell) for cell in cells]
            drawn.add_row(escape(label) + raised(marks), seeds, *fields)
        console.print(drawn)
        for line in notes(sheet, "*"):
            console.print(line, style="dim", markup=False, highlight=False)
        console.print()
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in printed.rstrip().splitlines())


def field(cell: Cell) -> str:
    """``102.05 ± 0.31 ≈``, or a dash with its footnote."""
    spread = f" ± {cell.sd}" if cell.sd else ""
    return (cell.value or "–") + spread + (f" {TIE}" if cell.tie else "") + raised([cell.note] if cell.note else [])


def notes(sheet: Sheet, bold: str) -> list[str]:
    """Footnotes and legend; ``bold`` says how the best is marked."""
    numbered = [f"{raised([number])} {text}" for number, text in enumerate(sheet.footnotes, 1)]
    return numbered + [line.format(bold=bold) for line in sheet.legend]


def raised(numbers: Sequence[int]) -> str:
    """``¹ ³`` for 1 and 3."""
    return " ".join(str(number).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")) for number in numbers)
