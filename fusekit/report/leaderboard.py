"""The page of a benchmark: one HTML file with leaderboards, per-image comparisons and plots.

Pictures are beside the page and loaded when they are needed. The page is readable without its scripts.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from jinja2 import Template
from markupsafe import Markup

from fusekit.report.benchmark_data import Board, Grid, GridRow, Line, arrow, best_of, direction, images, signed
from fusekit.report.benchmark_plots import pair_plot, spread_plot, style, sweep_plot
from fusekit.report.benchmark_text import MEANING, ROBUSTNESS
from fusekit.report.benchmark_view import View, source_table
from fusekit.report.render import asset, environment, heat_gradient, script_hash
from fusekit.report.tables import Cell, Table, column_cells, decimals_for, number, per_source_view
from fusekit.report.text_tables import one_line, printable

QABF_MAP = "how well the edges at each pixel are kept: dark blue, lost; light yellow, kept"
NEAREST_MAP = "what is in the fused image and in no source: dark blue, nothing; light yellow, much"


@dataclass(frozen=True)
class _Image:
    title: str
    url: str


@dataclass(frozen=True)
class _Figures:
    """Pictures of a scene: sources and ideal, then the fused image of each method with its maps."""

    scene: str
    position: int
    common: tuple[_Image, ...]
    fused: tuple[tuple[int, _Image, tuple[_Image, ...]], ...]

    @property
    def all(self) -> list[_Image]:
        """All pictures, in display order."""
        maps = [image for _, _, each in self.fused for image in each]
        return [*self.common, *(image for _, image, _ in self.fused), *maps]


@dataclass(frozen=True)
class _PairRow:
    scene: str
    position: int
    cells: tuple[Cell, Cell, Cell]
    better: bool | None
    length: float
    pictured: bool


@dataclass(frozen=True)
class _Pair:
    """The initial comparison image by image: positions of the metric and of two methods, and its rows."""

    column: int
    first: int
    second: int
    rows: tuple[_PairRow, ...]
    left_out: int
    plot: Markup


@dataclass(frozen=True)
class _Section:
    """A dataset with everything that its section shows."""

    board: Board
    anchor: str
    figures: tuple[_Figures, ...]
    pair: _Pair | None
    spreads: tuple[tuple[str, str, Markup], ...]
    compared: tuple[Line, ...]
    sources: Table | None

    @property
    def groups(self) -> list[tuple[int, str, int]]:
        """Number, name and count of columns of each dialect."""
        return [(number, name, len(columns)) for number, (name, columns) in enumerate(self.board.groups)]

    def group_of(self, index: int) -> int:
        """Number of the dialect of a column."""
        return next(number for number, (_, columns) in enumerate(self.board.groups) if index in columns)


def leaderboard_page(plain: Mapping[str, Any]) -> str:
    """Render a benchmark as HTML.

    All text is escaped. The content security policy of the page allows only its own scripts, identified by their
    hashes, and pictures from its own place; paths of pictures are taken relative to the page.

    Args:
        plain: The content of ``benchmark.json``.
    """
    view = View(plain)
    sections = [_section(board, f"dataset-{number}") for number, board in enumerate(view.boards)]
    styles = {method.name: style(number) for number, method in enumerate(view.methods.values())}
    scripts = [asset("enhance.js"), asset("leaderboard.js")]
    return _template().render(
        plain=plain,
        view=view,
        stamps=view.stamps(),
        sections=sections,
        overview=_overview(view) if len(view.boards) > 1 else None,
        sweeps=[
            (sweep, sweep.grid(), Markup(sweep_plot(sweep, styles, f"sweep-{number}")))
            for number, sweep in enumerate(view.sweeps)
        ],
        sweep_metrics=list(dict.fromkeys(f"{s.column.name} ({s.column.dialect})" for s in view.sweeps)),
        sweep_methods=list(dict.fromkeys(method for sweep in view.sweeps for method in sweep.methods)),
        styles=styles,
        meaning=MEANING,
        robustness=ROBUSTNESS,
        map_notes=(QABF_MAP, NEAREST_MAP),
        heat_gradient=Markup(heat_gradient()),
        data=_json([_data(section) for section in sections]),
        style=Markup(asset("style.css") + asset("leaderboard.css")),
        scripts=[Markup(script) for script in scripts],
        policy=Markup(" ".join(script_hash(script) for script in scripts)),
    )


@functools.cache
def _template() -> Template:
    made = environment()
    made.finalize = lambda value: printable(value) if type(value) is str else value
    made.globals.update(arrow=arrow, direction=direction, images=images, tip=_tip)
    return made.get_template("leaderboard.html.j2")


def _overview(view: View) -> Grid:
    """The mean ranks on all datasets."""
    names = [method.name for method in view.methods.values()]
    columns = []
    for board in view.boards:
        ranks = {line.method.name: line.rank.value for line in board.lines}
        values = [float(ranks.get(name) or math.nan) for name in names]
        columns.append(column_cells(values, higher_is_better=False, decimals=2))
    rows = tuple(
        GridRow(method, tuple(column[index] for column in columns))
        for index, method in enumerate(view.methods.values())
    )
    headings = tuple(board.name for board in view.boards)
    return Grid("Mean ranks", "Mean rank over all metrics of each dataset, lower is better.", headings, rows)


def _tip(line: Line, board: Board, index: int) -> str:
    """Everything about a cell in words."""
    score, column = line.scores[index], board.columns[index]
    label = f"{line.method.name}, {column.name} ({column.dialect})"
    if not score.cell.value:
        return f"{label}: no value on any of {images(len(board.scenes))}."
    text = f"{label}: mean {score.cell.text}"
    text += f", standard deviation {score.spread}" if score.spread else ""
    text += f", {images(score.images)}"
    text += f" ({score.missing} without a value)" if score.missing else ""
    text += f", rank {score.rank}." if score.rank else "."
    if score.baseline:
        verdict = {"better": "significantly better", "worse": "significantly worse"}.get(
            score.verdict, "no clear difference"
        )
        text += (
            f" Against the best baseline, {score.baseline}: {score.difference}, interval {score.interval}, "
            f"{images(score.paired)}: {verdict}."
        )
    return text + (" The method was trained for this metric." if score.trained else "")


def _section(board: Board, anchor: str) -> _Section:
    figures = tuple(_figures(board))
    plots = [
        (
            f"{column.name} {arrow(column)}",
            column.dialect,
            Markup(spread_plot(board, index, f"{anchor}-spread-{index}")),
        )
        for index, column in enumerate(board.columns)
    ]
    return _Section(
        board,
        anchor,
        figures,
        _pair(board, {each.position for each in figures}),
        tuple(plot for plot in plots if plot[2]),
        tuple(line for line in board.lines if any(score.baseline for score in line.scores)),
        per_source_view(source_table(board)),
    )


def _figures(board: Board) -> list[_Figures]:
    positions = {scene: position for position, scene in enumerate(board.scenes)}
    figures = []
    for scene, pictures in board.plain["pictures"].items():
        if scene not in positions:
            continue
        common = [_Image(one_line(role), _url(path)) for role, path in pictures.get("sources", {}).items()]
        if pictures.get("ideal"):
            common.append(_Image("ideal", _url(pictures["ideal"])))
        fused = []
        for place, line in enumerate(board.lines):
            own = pictures.get("methods", {}).get(line.plain["method"])
            if not own:
                continue
            maps = [
                _Image(f"{_map_name(board, key)}: {line.method.name}", _url(path))
                for key, path in own.get("maps", {}).items()
            ]
            fused.append((place, _Image(line.method.name, _url(own["fused"])), tuple(maps)))
        figures.append(_Figures(scene, positions[scene], tuple(common), tuple(fused)))
    return sorted(figures, key=lambda each: each.position)


def _map_name(board: Board, key: str) -> str:
    if key in board.keys:
        column = board.columns[board.keys.index(key)]
        return f"{column.name} ({column.dialect})"
    return one_line(key)


def _url(path: str) -> str:
    """A path as an address below the folder of the page."""
    return "./" + quote(path, errors="replace")


def _pair(board: Board, pictured: set[int]) -> _Pair | None:
    """The first metric of the method with the lowest mean rank that is not a baseline, against the best baseline."""
    first = best_of(board.lines, baselines=False) or (board.lines[0] if board.lines else None)
    second = next((line for line in board.lines if line.method.is_baseline and line is not first), None)
    second = second or next((line for line in board.lines if line is not first), None)
    if first is None or second is None or not board.columns:
        return None
    key, column = board.keys[0], board.columns[0]
    both = list(zip(first.values(key), second.values(key), strict=False))
    decimals = decimals_for([value for pair in both for value in pair if value is not None])
    defined = [(position, a, b) for position, (a, b) in enumerate(both) if a is not None and b is not None]
    defined.sort(key=lambda each: (each[1] - each[2]) * (1 if column.higher_is_better else -1))
    largest = max((abs(a - b) for _, a, b in defined), default=0.0) or 1.0
    rows = tuple(
        _PairRow(
            board.scenes[position],
            position,
            (
                Cell(number(a, decimals), repr(a)),
                Cell(number(b, decimals), repr(b)),
                Cell(signed(a - b, decimals), repr(a - b)),
            ),
            None if a == b else (a > b) == column.higher_is_better,
            abs(a - b) / largest,
            position in pictured,
        )
        for position, a, b in defined
    )
    return _Pair(
        0,
        board.lines.index(first),
        board.lines.index(second),
        rows,
        len(board.scenes) - len(rows),
        Markup(pair_plot([a for _, a, _ in defined], [b for _, _, b in defined])),
    )


def _data(section: _Section) -> dict[str, Any]:
    """What the script of a section needs: names, values and pictures by position."""
    board = section.board
    return {
        "scenes": [one_line(scene) for scene in board.scenes],
        "columns": [
            {"name": f"{column.name} ({column.dialect})", "higher": column.higher_is_better} for column in board.columns
        ],
        "methods": [
            {
                "name": line.method.name,
                "failed": {
                    str(position): one_line(line.failed[scene])
                    for position, scene in enumerate(board.scenes)
                    if scene in line.failed
                },
                "values": [[_rounded(value) for value in line.values(key)] for key in board.keys],
            }
            for line in board.lines
        ],
        "pictures": {
            str(each.position): {
                "common": [[image.title, image.url] for image in each.common],
                "fused": {
                    str(number): {"url": image.url, "maps": [[shown.title, shown.url] for shown in maps]}
                    for number, image, maps in each.fused
                },
            }
            for each in section.figures
        },
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.5g}")


def _json(data: Sequence[Mapping[str, Any]]) -> Markup:
    """JSON that cannot end the element it is written into."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))
