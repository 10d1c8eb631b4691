"""Tables in LaTeX, for the package booktabs."""

from collections.abc import Sequence

from vaezoo.tables.sheet import TIE, Cell, Sheet, title

WRITTEN = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "[": "{[}",  # at the start of a line it would be an option of what stands before
    TIE: r"$\approx$",
    "±": r"$\pm$",
    "–": "--",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    **{mark: rf"\{mark}" for mark in "&%$#_{}"},
}


def draw(sheets: Sequence[Sheet]) -> str:
    """One tabular per group; footnotes and legend follow in small print."""
    blocks = ["% \\usepackage{booktabs}"]
    for sheet in sheets:
        width = len(sheet.columns) + 2
        lines = [rf"\begin{{tabular}}{{l{'r' * (width - 1)}}}", r"\toprule"]
        lines += [_line([rf"\multicolumn{{{width}}}{{l}}{{{escaped(sheet.title)}}}"])]
        lines += [_line(["model", "seeds", *(escaped(title(metric)) for metric in sheet.columns)]), r"\midrule"]
        for label, marks, seeds, cells in sheet.rows:
            lines.append(_line([escaped(label) + _above(marks), seeds, *map(_field, cells)]))
        lines += [r"\bottomrule", r"\end{tabular}"]
        notes = [f"{_above([number])} {escaped(text)}" for number, text in enumerate(sheet.footnotes, 1)]
        notes += [escaped(line.format(bold="Bold")) for line in sheet.legend]
        blocks.append("\n".join([*lines, *(rf"\par{{\footnotesize {note}}}" for note in notes)]))
    return "\n\n".join(blocks)


def escaped(text: str) -> str:
    """Text that LaTeX sets as it is."""
    return "".join(WRITTEN.get(character, character) for character in text)


def _field(cell: Cell) -> str:
    number = cell.value.replace(",", "{,}").replace("-", "$-$") or "--"
    spread = rf" $\pm$ {cell.sd.replace(',', '{,}')}" if cell.sd else ""
    shown = rf"\textbf{{{number}}}" if cell.best else number
    return shown + spread + (rf" {WRITTEN[TIE]}" if cell.tie else "") + _above([cell.note] if cell.note else [])


def _above(numbers: Sequence[int]) -> str:
    return rf"\textsuperscript{{{','.join(map(str, numbers))}}}" if numbers else ""


def _line(fields: Sequence[str]) -> str:
    return rf"{' & '.join(fields)} \\"
