"""The plain data of a benchmark arranged as printed, for the page and for the text formats."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fusekit.report.benchmark_data import Board, Grid, GridRow, Line, Method, Score, Sweep, Verdict, images, signed
from fusekit.report.data import MethodRow, MetricColumn, MetricTable, Stamp
from fusekit.report.tables import Cell, column_cells, decimals_for, number
from fusekit.report.text_tables import one_line

LABELS = {
    "pseudo": "pseudo-labels, predicted by a network",
    "human": "labels drawn by people",
    "exact": "exact labels of rendered scenes",
}
"""Names of the kinds of labels."""

_PSEUDO = Stamp("Pseudo-labels", "the scores compare with predictions of a network.")

KINDS = ("model", "baseline", "run", "images")
"""Kinds of methods."""


class View:
    """A benchmark as printed.

    Args:
        plain: The content of ``benchmark.json``.

    Attributes:
        methods: The methods by name.
        columns: The metrics by key; the columns of a dialect are beside each other.
        boards: A leaderboard for each dataset.
        cost: Table of the cost; None if it was not measured.
        downstream: A table for each downstream task and protocol.
        sweeps: A sweep for each dataset, degradation and metric.
    """

    def __init__(self, plain: Mapping[str, Any]) -> None:
        self.plain = plain
        self.methods = _methods(plain["methods"])
        self.columns = _columns(plain["metrics"])
        self.boards = tuple(self._board(dataset) for dataset in plain["datasets"])
        self.cost = self._cost(plain["cost"]) if plain["cost"] else None
        self.downstream = tuple(self._downstream(entry) for entry in plain["downstream"])
        self.sweeps = tuple(self._sweep(entry, key) for entry in plain["robustness"] for key in entry["metrics"])

    def method(self, name: str) -> Method:
        """A method; one that the list does not contain is shown as images of unknown origin."""
        return self.methods.get(name) or Method(one_line(name) or "(unnamed)", "images")

    def stamps(self) -> list[Stamp]:
        """Warnings for the whole benchmark, each with the datasets that it concerns."""
        texts: dict[str, list[str]] = {}
        for board in self.boards:
            for stamp in board.stamps:
                texts.setdefault(stamp.title, []).append(f"{board.name}: {stamp.text}")
        for grid in self.downstream:
            for stamp in grid.stamps:
                texts.setdefault(stamp.title, []).append(f"{grid.title}: {stamp.text}")
        return [Stamp(title, " ".join(dict.fromkeys(each))) for title, each in texts.items()]

    def _board(self, plain: Mapping[str, Any]) -> Board:
        rows = plain["rows"]
        keys = [key for key in self.columns if any(key in row["mean"] or key in row["values"] for row in rows)]
        columns = [self._scores(plain, key) for key in keys]
        ranks = column_cells([_float(row.get("mean_rank")) for row in rows], higher_is_better=False, decimals=2)
        lines = [
            Line(
                self.method(row["method"]),
                ranks[index],
                tuple(scores[index] for scores in columns),
                row,
                _lost(plain, row),
            )
            for index, row in enumerate(rows)
        ]
        lines.sort(key=lambda line: float(line.rank.value or math.inf))
        return Board(
            name=one_line(plain["name"]),
            subset=one_line(plain["subset"]),
            roles=tuple(plain["roles"]),
            scenes=tuple(plain["scenes"]),
            keys=tuple(keys),
            columns=tuple(self.columns[key] for key in keys),
            lines=tuple(lines),
            stamps=tuple(_dataset_stamps(plain)),
            plain=plain,
        )

    def _scores(self, plain: Mapping[str, Any], key: str) -> list[Score]:
        rows, higher = plain["rows"], self.columns[key].higher_is_better
        means = [_float(row["mean"].get(key)) for row in rows]
        decimals = decimals_for(means)
        complete = [not row["failed"] for row in rows]
        cells = column_cells(means, higher_is_better=higher, decimals=decimals, ranked=complete)
        return [
            self._score(row, key, cell, decimals, len(plain["scenes"])) for row, cell in zip(rows, cells, strict=True)
        ]

    def _score(self, row: Mapping[str, Any], key: str, cell: Cell, decimals: int, scenes: int) -> Score:
        values = row["values"].get(key)
        if values is None:
            missing = min(scenes, len(row["failed"]) + row["undefined"].get(key, 0)) if cell.value else scenes
        else:
            missing = sum(value is None for value in values)
        spread, rank = _float(row["spread"].get(key)), _float(row["rank"].get(key))
        score = Score(
            cell,
            spread="" if math.isnan(spread) else number(spread, decimals),
            missing=missing,
            images=scenes - missing,
            rank="" if math.isnan(rank) else f"{rank:g}",
            trained=key in self.method(row["method"]).trained_for,
        )
        against = row.get("against", {}).get(key)
        if not against:
            return score
        baseline = self.method(against["baseline"]).name
        return _compared(score, against, baseline, self.columns[key].higher_is_better, decimals)

    def _cost(self, plain: Mapping[str, Any]) -> Grid:
        rows = plain["rows"]
        columns = [
            [Cell(f"{row['parameters']:,}", str(row["parameters"])) for row in rows],
            column_cells([_float(row["gflops"]) for row in rows], higher_is_better=False),
            [_time(row["seconds"], row.get("spread")) for row in rows],
            column_cells([_float(row["peak_mib"]) for row in rows], higher_is_better=False, decimals=0),
        ]
        columns = [[Cell(cell.text, cell.value) for cell in column] for column in columns]
        size = " × ".join(str(side) for side in plain["size"])
        text = f"{one_line(plain['device'])} · {size} pixels · median of {plain['repeats']} repetitions"
        if plain.get("note"):
            text += f" · {one_line(plain['note'])}"
        lines = tuple(
            GridRow(self.method(row["method"]), tuple(column[index] for column in columns))
            for index, row in enumerate(rows)
        )
        return Grid("Cost", text, ("Parameters", "GFLOPs", "Time per scene, ms", "Peak memory, MiB"), lines)

    def _downstream(self, plain: Mapping[str, Any]) -> Grid:
        rows = plain["rows"]
        columns = [column_cells([_float(row["value"]) for row in rows], decimals=3)]
        for index in range(len(plain["columns"])):
            values = [_float(row["columns"][index]) if index < len(row["columns"]) else math.nan for row in rows]
            columns.append(column_cells(values, decimals=3))
        lines = []
        for index, row in enumerate(rows):
            cells = [column[index] for column in columns]
            spread = _float(row.get("spread"))
            if not math.isnan(spread):
                cells[0] = replace(cells[0], text=f"{cells[0].text} ± {number(spread, 3)}")
            lines.append(GridRow(self.method(row["method"]), tuple(cells)))
        labels = LABELS.get(plain["labels"], f"labels: {plain['labels']}")
        explanation = one_line(plain["explanation"])
        return Grid(
            title=f"{one_line(plain['dataset'])}: {one_line(plain['task'])}, {plain['protocol']} protocol",
            text=f"{explanation} Network: {one_line(plain['network'])}. Reference: {labels}.".strip(),
            columns=(one_line(plain["measure"]), *(one_line(name) for name in plain["columns"])),
            rows=tuple(lines),
            stamps=(_PSEUDO,) if plain["labels"] == "pseudo" else (),
        )

    def _sweep(self, plain: Mapping[str, Any], key: str) -> Sweep:
        values = plain["metrics"][key]
        count = len(plain["severities"])
        return Sweep(
            dataset=one_line(plain["dataset"]),
            title=one_line(plain["title"]),
            scenes=plain["scenes"],
            column=self.columns.get(key) or MetricColumn(one_line(key), ""),
            severities=tuple(one_line(name) for name in plain["severities"]),
            methods=tuple(self.method(name) for name in values),
            values=tuple(tuple([*map(_float, row), *[math.nan] * count][:count]) for row in values.values()),
        )


def metric_table(board: Board, positions: Sequence[int]) -> MetricTable:
    """Columns of a leaderboard as a table of means whose first column is the mean rank, for the terminal.

    Args:
        board: The leaderboard.
        positions: Positions of the columns, all of one dialect.
    """
    rank = MetricColumn("rank", board.columns[positions[0]].dialect, higher_is_better=False)
    columns = (rank, *(board.columns[index] for index in positions))
    rows = []
    for line in board.lines:
        scores = [line.scores[index] for index in positions]
        cells = [line.rank, *(score.cell for score in scores)]
        missing = [0, *(score.missing - line.lost for score in scores)]
        rows.append(
            MethodRow(
                f"{line.method.name} ({line.method.kind})" if line.method.is_baseline else line.method.name,
                not line.method.is_baseline,
                {c.key: float(cell.value) if cell.value else math.nan for c, cell in zip(columns, cells, strict=True)},
                undefined={c.key: count for c, count in zip(columns, missing, strict=True) if count > 0},
                images=len(board.scenes) - line.lost,
            )
        )
    return MetricTable(columns, tuple(rows), len(board.scenes), board.subset, board.roles)


def source_table(board: Board) -> MetricTable:
    """The metrics of a leaderboard that have values against each source, as means over the scenes."""
    keys = [key for key in board.keys if any(key in line.plain.get("per_source", {}) for line in board.lines)]
    columns = {key: board.columns[board.keys.index(key)] for key in keys}
    rows = []
    for line in board.lines:
        means: dict[str, tuple[float, ...]] = {}
        for key, column in columns.items():
            each = [values for values in line.plain.get("per_source", {}).get(key) or () if values]
            if each:
                means[column.key] = tuple(_mean(of_source) for of_source in zip(*each, strict=True))
        rows.append(MethodRow(line.method.name, not line.method.is_baseline, {}, means))
    return MetricTable(tuple(columns.values()), tuple(rows), len(board.scenes), board.subset, board.roles)


def _methods(listed: Sequence[Mapping[str, Any]]) -> dict[str, Method]:
    """The methods by name. Names that look alike, because they differ in control characters, are numbered."""
    methods: dict[str, Method] = {}
    for plain in listed:
        name = one_line(plain["name"]) or "(unnamed)"
        alike = sum(name in (method.name, method.name.rpartition(" (")[0]) for method in methods.values())
        methods[plain["name"]] = Method(
            f"{name} ({alike + 1})" if alike else name,
            plain["kind"] if plain["kind"] in KINDS else "images",
            one_line(plain.get("source") or ""),
            one_line(plain.get("note") or ""),
            frozenset(plain.get("trained_for") or ()),
        )
    return methods


def _columns(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, MetricColumn]:
    """The metrics by key, grouped by dialect; a metric whose name another of its dialect has is named by its key."""
    dialects = list(dict.fromkeys(metric["dialect"] for metric in metrics.values()))
    columns: dict[str, MetricColumn] = {}
    for key in sorted(metrics, key=lambda key: dialects.index(metrics[key]["dialect"])):
        metric = metrics[key]
        name, dialect = one_line(metric["name"]), one_line(metric["dialect"])
        if any((name, dialect) == (other.name, other.dialect) for other in columns.values()):
            name = one_line(key)
        columns[key] = MetricColumn(
            name,
            dialect,
            metric.get("unit") or "",
            metric["higher_is_better"],
            one_line(metric.get("explanation") or ""),
        )
    return columns


def _dataset_stamps(plain: Mapping[str, Any]) -> Iterable[Stamp]:
    origin = plain.get("provenance") or {}
    note = one_line(origin.get("note") or "")
    if origin.get("synthetic"):
        yield Stamp("Synthetic data", note or "the scenes are rendered.")
    if origin.get("labels") == "pseudo":
        yield Stamp("Pseudo-labels", "the label maps are predictions of a network, which matters for downstream tasks.")
    lost = len(plain["unscored"])
    if lost:
        yield Stamp("Not every scene was scored", f"{images(lost)} could not be scored for any method.")
    failures = [(row["method"], len(row["failed"])) for row in plain["rows"] if row["failed"]]
    if failures:
        listed = ", ".join(f"{one_line(name)} on {count}" for name, count in failures)
        yield Stamp("Methods failed", f"of {images(len(plain['scenes']))}: {listed}. They have no rank.")


def _compared(score: Score, against: Mapping[str, Any], baseline: str, higher: bool, decimals: int) -> Score:
    low, high = _float(against["low"]), _float(against["high"])
    verdict: Verdict = ""
    if low > 0 or high < 0:
        verdict = "better" if (low > 0) == higher else "worse"
    # A difference has fewer digits before the point than the values, so it gets one more after it.
    return replace(
        score,
        verdict=verdict,
        baseline=baseline,
        difference=signed(_float(against["difference"]), decimals + 1),
        interval=f"{signed(low, decimals + 1)} to {signed(high, decimals + 1)}",
        paired=against["images"],
    )


def _time(seconds: float | None, spread: float | None) -> Cell:
    milliseconds = 1000.0 * _float(seconds)
    if math.isnan(milliseconds):
        return Cell(number(math.nan, 0), "")
    decimals = 0 if milliseconds >= 100 else 1 if milliseconds >= 10 else 2
    deviation = 1000.0 * _float(spread)
    text = number(milliseconds, decimals)
    return Cell(text if math.isnan(deviation) else f"{text} ± {number(deviation, decimals)}", repr(milliseconds))


def _lost(plain: Mapping[str, Any], row: Mapping[str, Any]) -> int:
    """Number of a dataset's scenes on which a method failed."""
    return sum(scene in row["failed"] for scene in plain["scenes"])


def _mean(values: Iterable[Any]) -> float:
    """Mean of the values that are not None; NaN if there are none."""
    known = [float(value) for value in values if value is not None]
    return sum(known) / len(known) if known else math.nan


def _float(value: Any) -> float:
    return math.nan if value is None else float(value)
