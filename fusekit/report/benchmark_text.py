"""A benchmark as plain text, Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fusekit.report.benchmark_data import Board, Grid, Line, Score, Sweep, arrow, images
from fusekit.report.benchmark_view import View, metric_table
from fusekit.report.saving import digits
from fusekit.report.text_tables import md, one_line, plain_text, ranked, tex

MEANING = (
    "Mean ± standard deviation over the images; bold: best of its column, underlined: second. ↑ higher is better, "
    "↓ lower is better. ▲ and ▼: significantly better and worse than the best baseline of the metric (the "
    "interval of a paired bootstrap over the images excludes zero). †n: n images have no value. ᵗ: the method was "
    "trained for the metric. Rank: mean rank over all metrics; a method that failed on an image has none."
)
"""Meaning of the marks in tables of Markdown and HTML."""

KEY = (
    "* best of its column; ↑ higher is better, ↓ lower is better; † undefined on some images; ‡ failed on some images, "
    "not compared; rank: mean rank over all metrics"
)
"""Meaning of the marks in tables for the terminal."""

_PER_TABULAR = 8  # metrics beside each other on a page of two columns


def benchmark_text(plain: Mapping[str, Any], width: int = 80) -> str:
    """A compact table of means for each dataset, for the terminal.

    Args:
        plain: The content of ``benchmark.json``.
        width: Number of characters of a line; columns that do not fit follow below.
    """
    parts = []
    for board in View(plain).boards:
        parts.append(f"{board.name}: {images(len(board.scenes))}")
        if board.lines and board.scenes:
            for dialect, positions in board.groups:
                parts.append(f"{board.name}, dialect {dialect}")
                parts.append(plain_text(metric_table(board, positions), width))
        parts += board.footnotes()[:3]
        if board.verdict():
            parts.append(board.verdict())
    parts.append(KEY)
    return "\n\n".join(parts) + "\n"


def benchmark_markdown(plain: Mapping[str, Any]) -> str:
    """The benchmark as a page in Markdown: a table for each dataset and dialect, the cost, the downstream tasks and the
    robustness.

    Args:
        plain: The content of ``benchmark.json``.
    """
    view = View(plain)
    lines = [f"# {md(plain['title'])}", ""]
    lines += [f"- {md(name)}: {md(text)}" for name, text in _conditions(plain)]
    lines += [f"- {md(note)}" for note in plain["notes"]]
    for stamp in view.stamps():
        lines += ["", f"**{md(stamp.title)}.** {md(stamp.text)}"]
    lines += ["", MEANING]
    for board in view.boards:
        lines += ["", f"## {md(board.name)}", "", f"{md(board.subset)}."]
        if not board.lines or not board.scenes:
            lines += ["", "No image was scored."]
        else:
            lines += ["", md(board.verdict())] if board.verdict() else []
            for dialect, positions in board.groups:
                lines += ["", f"### {md(board.name)}, dialect {md(dialect)}", "", *_md_board(board, positions)]
        notes = board.footnotes()
        lines += ["", *(f"- {md(note)}" for note in notes)] if notes else []
    grids = ([view.cost] if view.cost else []) + list(view.downstream)
    for grid in grids:
        lines += ["", f"## {md(grid.title)}", "", md(grid.text), "", *_md_grid(grid)]
    if view.sweeps:
        lines += ["", "## Robustness", "", ROBUSTNESS]
    for sweep in view.sweeps:
        grid = sweep.grid()
        lines += ["", f"### {md(sweep.dataset)}, {md(grid.title)}", "", f"{md(grid.text)}.", "", *_md_grid(grid)]
    if plain["methods"]:
        lines += ["", "## Methods", "", "| method | kind | source |", "| --- | --- | --- |"]
    for method in view.methods.values():
        about = ". ".join(part.rstrip(".") for part in (method.source, method.note) if part)
        lines.append(f"| {md(method.name)} | {method.kind} | {md(about)} |")
    return "\n".join(lines) + "\n"


ROBUSTNESS = (
    "The sources are degraded before they are fused; the metrics compare the fused image with the sources as they were "
    "before."
)
"""Condition of the tables and plots of robustness."""


def _conditions(plain: Mapping[str, Any]) -> list[tuple[str, str]]:
    named = [(name, text) for name, text in plain["conditions"]]
    return [*named, ("Created", f"{plain['created']} by fusekit {plain['fusekit']}")]


def _md_board(board: Board, positions: Sequence[int]) -> Iterator[str]:
    columns = [board.columns[index] for index in positions]
    heads = [f"{md(column.name)}{f' [{md(column.unit)}]' if column.unit else ''} {arrow(column)}" for column in columns]
    yield f"| method | kind | rank ↓ | {' | '.join(heads)} |"
    yield f"| --- | --- | ---: |{' ---: |' * len(heads)}"
    for line in board.lines:
        cells = [_md_score(line.scores[index]) for index in positions]
        rank = ranked(line.rank, "**{}**", "<u>{}</u>")
        yield f"| {md(line.method.name)} | {line.method.kind} | {rank} | {' | '.join(cells)} |"


def _md_score(score: Score) -> str:
    spread = f" ± {score.spread}" if score.spread else ""
    marks = f" {score.marks}" if score.marks else ""
    return f"{ranked(score.cell, '**{}**', '<u>{}</u>')}{spread}{marks}"


def _md_grid(grid: Grid) -> Iterator[str]:
    yield f"| method | {' | '.join(md(column) for column in grid.columns)} |"
    yield f"| --- |{' ---: |' * len(grid.columns)}"
    for row in grid.rows:
        cells = [ranked(cell, "**{}**", "<u>{}</u>") for cell in row.cells]
        yield f"| {md(row.method.name)} | {' | '.join(cells)} |"
    for stamp in grid.stamps:
        yield ""
        yield f"**{md(stamp.title)}:** {md(stamp.text)}"


def benchmark_latex(plain: Mapping[str, Any]) -> str:
    """The benchmark in LaTeX for the package booktabs: a ``table*`` for each dataset, and one for the cost, each
    downstream task, and each dataset's robustness. Baselines are above the other methods.

    Args:
        plain: The content of ``benchmark.json``.
    """
    view = View(plain)
    lines = ["% Needs \\usepackage{booktabs}. Written by fusekit."]
    lines += [f"% {one_line(name)}: {one_line(text)}" for name, text in _conditions(plain)]
    lines += [f"% {one_line(note)}" for note in plain["notes"]]
    for stamp in view.stamps():
        lines.append(f"% {one_line(stamp.title)}: {one_line(stamp.text)}")
    for board in view.boards:
        lines += ["", *_tex_board(board)] if board.lines and board.scenes else ["", f"% {board.name}: no image scored"]
    for grid in ([view.cost] if view.cost else []) + list(view.downstream):
        lines += ["", *_tex_table(f"{grid.title}. {grid.text}", [_tex_grid(grid)])]
    by_dataset: dict[str, list[Sweep]] = {}
    for sweep in view.sweeps:
        by_dataset.setdefault(sweep.dataset, []).append(sweep)
    for dataset, sweeps in by_dataset.items():
        caption = f"Robustness on {dataset}, mean over {images(sweeps[0].scenes)}. {ROBUSTNESS}"
        lines += [
            "",
            *_tex_table(caption, [[f"\\emph{{{tex(s.grid().title)}}}\\\\", *_tex_grid(s.grid())] for s in sweeps]),
        ]
    return "\n".join(lines) + "\n"


def _tex_table(caption: str, tabulars: Sequence[Sequence[str]]) -> Iterator[str]:
    yield from ("\\begin{table*}", "\\centering", "\\footnotesize", "\\setlength{\\tabcolsep}{4pt}")
    yield f"\\caption{{{tex(caption)}}}"
    for number, tabular in enumerate(tabulars):
        if number:
            yield "\\par\\medskip"
        yield from tabular
    yield "\\end{table*}"


def _tex_board(board: Board) -> Iterator[str]:
    caption = (
        f"{board.subset}. Mean and standard deviation over {images(len(board.scenes))}. Best in bold, "
        "second underlined; + and \N{MINUS SIGN}: significantly better and worse than the best baseline (paired "
        "bootstrap)"
    )
    scores = [score for line in board.lines for score in line.scores]
    caption += "; †n: n images have no value" * any(score.missing for score in scores)
    caption += "; t: trained for the metric" * any(score.trained for score in scores) + "."
    for stamp in board.stamps:
        caption += f" {stamp.title}: {stamp.text}"
    parts = [
        (dialect, positions[start : start + _PER_TABULAR])
        for dialect, positions in board.groups
        for start in range(0, len(positions), _PER_TABULAR)
    ]
    return _tex_table(caption, [_tex_part(board, dialect, positions) for dialect, positions in parts])


def _tex_part(board: Board, dialect: str, positions: Sequence[int]) -> list[str]:
    heads = [f"{tex(board.columns[index].name)}{tex(arrow(board.columns[index]))}" for index in positions]
    last = len(positions) + 2
    baselines = [line for line in board.lines if line.method.is_baseline]
    others = [line for line in board.lines if not line.method.is_baseline]
    return [
        f"\\begin{{tabular}}{{lr{'r' * len(positions)}}}",
        "\\toprule",
        f" & & \\multicolumn{{{len(positions)}}}{{c}}{{{tex(dialect)}}} \\\\",
        f"\\cmidrule(lr){{3-{last}}}",
        f"Method & Rank & {' & '.join(heads)} \\\\",
        "\\midrule",
        *(_tex_line(line, positions) for line in baselines),
        *(["\\midrule"] if baselines and others else []),
        *(_tex_line(line, positions) for line in others),
        "\\bottomrule",
        "\\end{tabular}",
    ]


def _tex_line(line: Line, positions: Sequence[int]) -> str:
    scores = [line.scores[index] for index in positions]
    cells = [
        ranked(score.cell, "\\textbf{{{}}}", "\\underline{{{}}}", tex)
        + (f"{{\\tiny$\\pm${tex(score.spread)}}}" if score.spread else "")
        + _tex_marks(score)
        for score in scores
    ]
    rank = ranked(line.rank, "\\textbf{{{}}}", "\\underline{{{}}}", tex)
    return f"{tex(line.method.name)} & {rank} & {' & '.join(cells)} \\\\"


def _tex_marks(score: Score) -> str:
    missing = [f"\\dagger {score.missing}"] * bool(score.missing)
    marks = ["t"] * score.trained + missing + {"better": ["+"], "worse": ["-"]}.get(score.verdict, [])
    return f"$^{{{','.join(marks)}}}$" if marks else ""


def _tex_grid(grid: Grid) -> list[str]:
    rows = [
        " & ".join([tex(row.method.name), *(ranked(c, "\\textbf{{{}}}", "\\underline{{{}}}", tex) for c in row.cells)])
        for row in grid.rows
    ]
    return [
        f"\\begin{{tabular}}{{l{'r' * len(grid.columns)}}}",
        "\\toprule",
        f"Method & {' & '.join(tex(column) for column in grid.columns)} \\\\",
        "\\midrule",
        *(f"{row} \\\\" for row in rows),
        "\\bottomrule",
        "\\end{tabular}",
    ]


def benchmark_csv(plain: Mapping[str, Any]) -> str:
    """A row for each dataset, method, image and metric; a row with the error for each image that was not scored.

    The value of a metric against each source is in a column for each role. Values have nine significant digits.

    Args:
        plain: The content of ``benchmark.json``.
    """
    roles = list(dict.fromkeys(role for dataset in plain["datasets"] for role in dataset["roles"]))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["dataset", "method", "image", "metric", "dialect", "value", *(f"value {role}" for role in roles), "error"]
    )
    none = [""] * len(roles)
    for dataset in plain["datasets"]:
        name = dataset["name"]
        for row in dataset["rows"]:
            for position, image in enumerate(dataset["scenes"]):
                if image in row["failed"]:
                    continue
                for key, metric in plain["metrics"].items():
                    if key not in row["values"]:
                        continue
                    value = row["values"][key][position]
                    each = (row.get("per_source", {}).get(key) or {position: None})[position]
                    named = dict(zip(dataset["roles"], each or [], strict=False))
                    cells = [name, row["method"], image, key, metric["dialect"], digits(value)]
                    writer.writerow(
                        [*cells, *(digits(named.get(role)) for role in roles), "undefined" if value is None else ""]
                    )
            for image, reason in row["failed"].items():
                writer.writerow([name, row["method"], image, "", "", "", *none, reason])
        for image, reason in dataset["unscored"].items():
            writer.writerow([name, "", image, "", "", "", *none, reason])
    return out.getvalue()
