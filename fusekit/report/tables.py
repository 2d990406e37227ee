"""The tables of a report as text: rounding, best values, undefined values and a summary sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fusekit.report.data import ImageRow, MethodRow, MetricColumn, MetricTable, TaskTable

UNDEFINED = "–"


@dataclass(frozen=True)
class Cell:
    """One printed number.

    Args:
        text: As printed.
        value: Sort key; empty if undefined.
        best: Whether no other row is better, to the digits printed.
        left_out: Number of images excluded from the mean, because the metric is undefined on them.
        second: Whether only the best value is better, to the digits printed; in columns of three or more values.
    """

    text: str
    value: str
    best: bool = False
    left_out: int = 0
    second: bool = False


@dataclass(frozen=True)
class Heading:
    """Heading of a column."""

    name: str
    unit: str = ""
    arrow: str = ""
    direction: str = ""
    explanation: str = ""
    colour: str = ""


@dataclass(frozen=True)
class Row:
    """A printed row."""

    name: str
    is_model: bool
    cells: tuple[Cell, ...]
    partial: bool = False


@dataclass(frozen=True)
class Table:
    """A printed table; `groups` are the top row of headings, each with the number of columns that it spans."""

    groups: tuple[tuple[str, int], ...]
    headings: tuple[Heading, ...]
    rows: tuple[Row, ...]
    footnotes: tuple[str, ...] = ()
    verdict: str = ""


def number(value: float, decimals: int) -> str:
    """`value` as text with a typographic minus sign; a dash for NaN."""
    if math.isnan(value):
        return UNDEFINED
    if math.isinf(value):
        return "∞" if value > 0 else "\N{MINUS SIGN}∞"
    text = f"{value:.{decimals}f}"
    if float(text) == 0.0:
        text = text.removeprefix("-")
    return text.replace("-", "\N{MINUS SIGN}")


def decimals_for(values: Sequence[float]) -> int:
    """Number of decimals of a column, so that its largest value has about four digits."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=1.0)
    if largest >= 1000:
        return 0
    if largest >= 100:
        return 1
    if largest >= 10:
        return 2
    if largest >= 0.01 or largest == 0:
        return 3
    return min(8, 2 - math.floor(math.log10(largest)))


def column_cells(
    values: Sequence[float],
    *,
    higher_is_better: bool = True,
    decimals: int | None = None,
    ranked: Sequence[bool] | None = None,
) -> list[Cell]:
    """Cells of one column with the best marked. All rows that print the same number as the best are marked.

    Args:
        values: One value per row.
        higher_is_better: Direction of the column.
        decimals: Number of decimals; by default it depends on the values.
        ranked: For each row, whether it can be the best; by default, every row can.
    """
    decimals = decimals_for(values) if decimals is None else decimals
    texts = [number(value, decimals) for value in values]
    compared = [True] * len(values) if ranked is None else list(ranked)
    defined = [(v, t) for v, t, r in zip(values, texts, compared, strict=True) if r and not math.isnan(v)]
    order = list(dict.fromkeys(text for _, text in sorted(defined, key=lambda pair: pair[0], reverse=higher_is_better)))
    best = order[0] if len(order) > 1 else None
    second = order[1] if len(order) > 1 and len(defined) > 2 else None
    if len(order) == 1 and len(defined) > 1 and any(math.isnan(v) for v in values):
        best = order[0]
    return [
        Cell(
            text,
            "" if math.isnan(value) else repr(float(value)),
            best=can and text == best,
            second=can and text == second,
        )
        for text, value, can in zip(texts, values, compared, strict=True)
    ]


def _enumerate(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _heading(column: MetricColumn) -> Heading:
    arrow, direction = ("↑", "higher is better") if column.higher_is_better else ("↓", "lower is better")
    return Heading(column.name, column.unit, arrow, direction, column.explanation)


def _groups(columns: Sequence[MetricColumn]) -> tuple[tuple[str, int], ...]:
    groups: list[tuple[str, int]] = []
    for column in columns:
        if groups and groups[-1][0] == column.dialect:
            groups[-1] = (column.dialect, groups[-1][1] + 1)
        else:
            groups.append((column.dialect, 1))
    return tuple(groups)


def column_labels(columns: Sequence[MetricColumn]) -> list[str]:
    """Names of the columns in running text, with the dialect if there are several."""
    several = len({column.dialect for column in columns}) > 1
    return [f"{column.name} ({column.dialect})" if several else column.name for column in columns]


def _verdict(rows: Sequence[MethodRow], grid: Sequence[Sequence[Cell]], labels: Sequence[str]) -> str:
    """Summary sentence: the columns in which the model has the best value, and the best methods of the others."""
    models = [index for index, row in enumerate(rows) if row.is_model]
    if not models or len(rows) == 1:
        return ""
    contested = [index for index, cells in enumerate(grid) if any(cell.best for cell in cells)]
    won = [index for index in contested if any(grid[index][model].best for model in models)]
    lost = [index for index in contested if index not in won]
    if not contested:
        return ""
    names = f": {_enumerate([labels[index] for index in won])}" if won else ""
    text = f"The model has the best value in {len(won)} of {len(contested)} columns{names}."
    winners: dict[str, list[str]] = {}
    for index in lost:
        first = next(row.name for row, cell in zip(rows, grid[index], strict=True) if cell.best)
        winners.setdefault(first, []).append(labels[index])
    if winners:
        others = "; ".join(f"{name} in {_enumerate(won_by)}" for name, won_by in winners.items())
        text += f" Best in the other columns: {others}."
    return text


def _footnotes(table: MetricTable, labels: Sequence[str]) -> tuple[str, ...]:
    notes = []
    partial = [f"{row.name} on {row.images} of {table.images}" for row in table.rows if not table.complete(row)]
    if partial:
        notes.append(
            "‡ Scored on fewer images than the table has, so the means are not compared with the others: "
            f"{', '.join(partial)}."
        )
    for column, label in zip(table.columns, labels, strict=True):
        counts = [(row.name, table.undefined(row, column)) for row in table.rows]
        excluded = [f"{count} of {table.images} for {name}" for name, count in counts if count]
        if excluded:
            notes.append(
                f"† {label} is undefined on some images, which are excluded from its mean: {', '.join(excluded)}."
            )
    return tuple(notes)


def metric_view(table: MetricTable) -> Table:
    """The metric table as printed."""
    grid = []
    for column in table.columns:
        values = [table.value(row, column) for row in table.rows]
        ranked = [table.complete(row) for row in table.rows]
        cells = column_cells(values, higher_is_better=column.higher_is_better, ranked=ranked)
        left_out = [table.undefined(row, column) for row in table.rows]
        grid.append([replace(cell, left_out=count) for cell, count in zip(cells, left_out, strict=True)])
    labels = column_labels(table.columns)
    return Table(
        groups=_groups(table.columns),
        headings=tuple(_heading(column) for column in table.columns),
        rows=tuple(
            Row(row.name, row.is_model, tuple(cells[index] for cells in grid), not table.complete(row))
            for index, row in enumerate(table.rows)
        ),
        footnotes=_footnotes(table, labels),
        verdict=_verdict(table.rows, grid, labels),
    )


def per_source_view(table: MetricTable) -> Table | None:
    """Table of each metric against each source, with the worst of these values, which exposes copies of one source.

    None if no metric has values for each source.
    """
    count = len(table.roles)
    groups: list[tuple[str, int]] = []
    headings: list[Heading] = []
    grid: list[list[Cell]] = []
    for column, label in zip(table.columns, column_labels(table.columns), strict=True):
        measured = [table.per_source(row, column) for row in table.rows]
        if not any(len(values) == count for values in measured):
            continue
        padded = [values if len(values) == count else (math.nan,) * count for values in measured]
        worse = [(min if column.higher_is_better else max)(values) for values in padded]
        # min() ignores a NaN that does not come first; if one value is undefined, the worst must be undefined too.
        worse = [math.nan if any(map(math.isnan, v)) else w for v, w in zip(padded, worse, strict=True)]
        decimals = decimals_for([value for values in padded for value in values])
        heading = _heading(column)
        for position, role in enumerate(table.roles):
            headings.append(Heading(role))
            grid.append([Cell(c.text, c.value) for c in column_cells([v[position] for v in padded], decimals=decimals)])
        headings.append(Heading("min" if column.higher_is_better else "max", direction=heading.direction))
        grid.append(column_cells(worse, higher_is_better=column.higher_is_better, decimals=decimals))
        groups.append((f"{label} {heading.arrow}", count + 1))
    if not groups:
        return None
    return Table(
        groups=tuple(groups),
        headings=tuple(headings),
        rows=tuple(
            Row(row.name, row.is_model, tuple(cells[index] for cells in grid)) for index, row in enumerate(table.rows)
        ),
    )


def image_view(table: MetricTable, images: Sequence[ImageRow]) -> Table:
    """The values image by image as printed; an image that failed has a row without numbers."""
    decimals = [
        decimals_for([row.values[index] for row in images if row.values]) for index in range(len(table.columns))
    ]
    rows = []
    for row in images:
        cells = [
            Cell(number(value, digits), "" if math.isnan(value) else repr(float(value)))
            for value, digits in zip(row.values, decimals, strict=False)
        ]
        rows.append(Row(f"{row.image} · {row.method}", False, tuple(cells or [Cell("failed", "")] * len(decimals))))
    return Table(_groups(table.columns), tuple(_heading(column) for column in table.columns), tuple(rows))


def hex_colour(colour: Sequence[int]) -> str:
    """Colour as ``#rrggbb``."""
    return "#" + "".join(f"{min(max(int(value), 0), 255):02x}" for value in colour)


def task_view(table: TaskTable) -> Table:
    """The task table as printed: scores in percent, those over all classes first."""
    over_classes = [(row.mean_iou, *row.further) for row in table.rows]
    grid = [
        column_cells([100.0 * row[index] for row in over_classes], decimals=1) for index in range(len(table.scores))
    ]
    for index in range(len(table.class_names)):
        values = [100.0 * row.per_class[index] if index < len(row.per_class) else math.nan for row in table.rows]
        grid.append(column_cells(values, decimals=1))
    colours = [hex_colour(colour) for colour in table.palette]
    colours += [""] * (len(table.class_names) - len(colours))
    headings = [Heading(name) for name in table.scores]
    headings += [Heading(name, colour=colour) for name, colour in zip(table.class_names, colours, strict=False)]
    best = next((index for index, cell in enumerate(grid[0]) if cell.best), None)
    verdict = ""
    if best is not None:
        score = table.scores[0].replace("Mean", "mean")
        verdict = f"{table.rows[best].input} has the best {score}, {grid[0][best].text} %"
        models = [index for index, row in enumerate(table.rows) if row.is_model and not grid[0][index].best]
        others = [f"{table.rows[index].input} has {grid[0][index].text} %" for index in models]
        verdict = "; ".join([verdict, *others]) + "."
    missing = any(cell.text == UNDEFINED for cells in grid for cell in cells)
    return Table(
        groups=(),
        headings=tuple(headings),
        rows=tuple(
            Row(row.input, row.is_model, tuple(cells[index] for cells in grid)) for index, row in enumerate(table.rows)
        ),
        footnotes=(f"{UNDEFINED}: {table.absent}.",) if missing else (),
        verdict=verdict,
    )
