"""The table of metrics as plain text, as Markdown and as LaTeX."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Sequence

from rich.cells import cell_len

from fusekit.report.data import MetricTable
from fusekit.report.tables import Cell, Row, Table, column_labels, metric_view

Facts = Sequence[tuple[str, str]]
"""Names and values of the conditions under which a table was computed."""


def plain_text(table: MetricTable, width: int) -> str:
    """The table as aligned text; columns that do not fit beside the others follow below.

    Args:
        table: The table.
        width: Number of characters of a line.
    """
    view = metric_view(table)
    columns = [["method", *(one_line(row.name) + "‡" * row.partial for row in view.rows)]]
    for index, head in enumerate(_heads(table, view)):
        columns.append([head, *(_plain_cell(row.cells[index]) for row in view.rows)])
    first, blocks = columns[0], list[list[list[str]]]()
    for column in columns[1:]:
        if not blocks or sum(_width(c) + 2 for c in (first, *blocks[-1], column)) > width + 2:
            blocks.append([])
        blocks[-1].append(column)
    return "\n\n".join("\n".join(_aligned([first, *block])) for block in blocks)


def key_text(table: MetricTable) -> list[str]:
    """What the marks of `plain_text` mean, one line each, with the footnotes."""
    return ["* best of its column · ↑ higher is better, ↓ lower is better", *metric_view(table).footnotes]


def _plain_cell(cell: Cell) -> str:
    return f"{cell.text}{'†' if cell.left_out else ' '}{'*' if cell.best else ' '}"


def _heads(table: MetricTable, view: Table) -> list[str]:
    labels = column_labels(table.columns)
    return [f"{label} {heading.arrow}" for label, heading in zip(labels, view.headings, strict=True)]


def _width(column: Sequence[str]) -> int:
    return max(map(cell_len, column))


def _aligned(columns: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [_width(column) for column in columns]
    for line, (name, *cells) in enumerate(zip(*columns, strict=True)):
        padded = [name + " " * (widths[0] - cell_len(name))]
        for cell, width in zip(cells, widths[1:], strict=True):
            marks = "  " if line == 0 else ""  # headings end where the numbers end, before the two marks
            padded.append(" " * max(0, width - cell_len(cell) - len(marks)) + cell + marks)
        yield "  ".join(padded).rstrip()


def markdown(table: MetricTable, facts: Facts, remarks: Sequence[str]) -> str:
    """The table in Markdown: the best value of a column is bold, the second is underlined."""
    view = metric_view(table)
    heads = [f"{md(column.name)} ({md(column.dialect)})" for column in table.columns]
    arrows = [heading.arrow for heading in view.headings]
    lines = ["| method | " + " | ".join(f"{h} {a}" for h, a in zip(heads, arrows, strict=True)) + " |"]
    lines.append("| --- |" + " ---: |" * len(heads))
    for row in view.rows:
        cells = [ranked(cell, "**{}**", "<u>{}</u>") + "†" * bool(cell.left_out) for cell in row.cells]
        lines.append(f"| {md(row.name)}{'‡' * row.partial} | {' | '.join(cells)} |")
    lines += ["", "Bold: best of its column; underlined: second. ↑ higher is better, ↓ lower is better.", ""]
    lines += [f"- {md(name)}: {md(value)}" for name, value in facts]
    lines += [f"- {md(text)}" for text in (*view.footnotes, *remarks)]
    return "\n".join(lines) + "\n"


def latex(table: MetricTable, facts: Facts, remarks: Sequence[str]) -> str:
    """The table in LaTeX, for the package booktabs: the best value of a column is bold, the second is underlined."""
    view = metric_view(table)
    heads = [
        tex(column.name) + ("$\\uparrow$" if column.higher_is_better else "$\\downarrow$") for column in table.columns
    ]
    start, groups, rules = 2, [], []
    for dialect, span in view.groups:
        groups.append(f"\\multicolumn{{{span}}}{{c}}{{{tex(dialect)}}}")
        rules.append(f"\\cmidrule(lr){{{start}-{start + span - 1}}}")
        start += span
    caption = ". ".join(f"{name}: {value}" for name, value in facts)
    return "\n".join(
        [
            "% Needs \\usepackage{booktabs}.",
            *(f"% {' '.join(remark.split())}" for remark in remarks),
            "\\begin{table}",
            "\\centering",
            f"\\caption{{{tex(caption)}. Best in bold, second underlined.}}",
            f"\\begin{{tabular}}{{l{'r' * len(heads)}}}",
            "\\toprule",
            f" & {' & '.join(groups)} \\\\",
            " ".join(rules),
            f"Method & {' & '.join(heads)} \\\\",
            "\\midrule",
            *(_tex_row(row) for row in view.rows),
            "\\bottomrule",
            "\\end{tabular}",
            *(f"\\par\\footnotesize {tex(note)}" for note in view.footnotes),
            "\\end{table}",
            "",
        ]
    )


def _tex_row(row: Row) -> str:
    cells = [
        ranked(cell, "\\textbf{{{}}}", "\\underline{{{}}}", tex) + "$^\\dagger$" * bool(cell.left_out)
        for cell in row.cells
    ]
    name = tex(row.name) + "$^\\ddagger$" * row.partial
    return f"{name} & {' & '.join(cells)} \\\\"


def ranked(cell: Cell, best: str, second: str, escaped: Callable[[str], str] = str) -> str:
    """The number of a cell, marked if it is the best or second of its column."""
    text = escaped(cell.text)
    if cell.best:
        return best.format(text)
    return second.format(text) if cell.second else text


_TEX = {
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    '"': "''",
    "[": "{[}",  # after the end of a line, an optional argument would begin
    "]": "{]}",
    "*": "{*}",
    "\N{MINUS SIGN}": "$-$",
    "–": "--",
    "∞": "$\\infty$",
    "±": "$\\pm$",
    "×": "$\\times$",
    "†": "$^\\dagger$",
    "‡": "$^\\ddagger$",
    "·": "$\\cdot$",
    "…": "\\dots{}",
    "↑": "$\\uparrow$",
    "↓": "$\\downarrow$",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def tex(text: str) -> str:
    """Text without effect in LaTeX."""
    return "".join(_TEX.get(sign, sign) for sign in one_line(text))


def md(text: str) -> str:
    """Text without effect in Markdown or HTML."""
    return re.sub(r"([\\`*_\[\]|~#!])", r"\\\1", html.escape(one_line(text), quote=False))


def printable(text: str) -> str:
    """Text without control characters, such as those that reverse the direction of writing."""
    return "".join(sign for sign in text if sign.isprintable() or sign.isspace())


def one_line(text: str) -> str:
    """Text on one line, without control characters."""
    return " ".join(printable(text).split())
