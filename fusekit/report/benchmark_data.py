"""What a benchmark shows, as plain frozen data: leaderboards, tables of numbers and sweeps over degradations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fusekit.report.data import MetricColumn, Stamp
from fusekit.report.saving import problems
from fusekit.report.tables import Cell, column_cells, decimals_for, number
from fusekit.report.text_tables import one_line

Verdict = Literal["", "better", "worse"]


@dataclass(frozen=True)
class Method:
    """A method of the benchmark; `trained_for` has the keys of the metrics that its loss contains."""

    name: str
    kind: str
    source: str = ""
    note: str = ""
    trained_for: frozenset[str] = frozenset()

    @property
    def is_baseline(self) -> bool:
        """Whether the method is a baseline."""
        return self.kind == "baseline"


@dataclass(frozen=True)
class Score:
    """The mean of one metric for one method.

    Args:
        cell: The mean as printed, with the marks of the best and the second.
        spread: Standard deviation over the images as printed; empty if undefined.
        missing: Number of images without a value, because they failed or the metric is undefined on them.
        images: Number of images with a value.
        rank: Rank as printed; empty if the method has none.
        trained: Whether the method was trained for the metric.
        verdict: Whether the interval of the difference from the best baseline excludes zero, and in which direction.
        baseline: The best baseline of the metric; empty for baselines.
        difference: Difference from that baseline, as printed.
        interval: Interval of the difference, as printed.
        paired: Number of images of the comparison.
    """

    cell: Cell
    spread: str = ""
    missing: int = 0
    images: int = 0
    rank: str = ""
    trained: bool = False
    verdict: Verdict = ""
    baseline: str = ""
    difference: str = ""
    interval: str = ""
    paired: int = 0

    @property
    def sign(self) -> str:
        """▲ or ▼ if the method is better or worse than the best baseline, else empty."""
        return {"better": "▲", "worse": "▼"}.get(self.verdict, "")

    @property
    def marks(self) -> str:
        """All marks of the cell in text."""
        return "ᵗ" * self.trained + (f"†{self.missing}" if self.missing else "") + self.sign


@dataclass(frozen=True)
class Line:
    """A method's row of a leaderboard; `plain` is the row as plain data, `lost` the number of scenes that failed."""

    method: Method
    rank: Cell
    scores: tuple[Score, ...]
    plain: Mapping[str, Any]
    lost: int

    @property
    def failed(self) -> Mapping[str, str]:
        """Reason for each image that could not be scored."""
        return self.plain["failed"]

    def values(self, key: str) -> list[float | None]:
        """Value of a metric on each scene."""
        return list(self.plain["values"].get(key) or ())

    def count(self, verdict: Verdict) -> int:
        """Number of metrics with this verdict."""
        return sum(score.verdict == verdict for score in self.scores)


@dataclass(frozen=True)
class Board:
    """The leaderboard of one dataset, its lines ordered by mean rank; methods without one come last.

    Args:
        name: Name of the dataset.
        subset: What was scored.
        roles: Roles of the sources.
        scenes: Identifiers of the scored scenes.
        keys: Key of each column.
        columns: The metrics, the columns of a dialect beside each other.
        lines: The methods.
        stamps: Warnings that apply to all numbers of the dataset.
        plain: The dataset as plain data.
    """

    name: str
    subset: str
    roles: tuple[str, ...]
    scenes: tuple[str, ...]
    keys: tuple[str, ...]
    columns: tuple[MetricColumn, ...]
    lines: tuple[Line, ...]
    stamps: tuple[Stamp, ...]
    plain: Mapping[str, Any]

    @property
    def groups(self) -> list[tuple[str, list[int]]]:
        """Each dialect with the positions of its columns."""
        groups: dict[str, list[int]] = {}
        for index, column in enumerate(self.columns):
            groups.setdefault(column.dialect, []).append(index)
        return list(groups.items())

    def verdict(self) -> str:
        """Summary: the best mean ranks, and the first other method compared with the best baselines."""
        ranked = [line for line in self.lines if line.rank.value]
        text = ""
        if len(ranked) > 1:
            names = [f"{line.method.name} ({line.method.kind}, {line.rank.text})" for line in ranked[:3]]
            text = f"Lowest mean rank: {', '.join(names)}."
        compared = [line for line in self.lines if any(score.baseline for score in line.scores)]
        for line in compared[:1]:
            count = sum(bool(score.baseline) for score in line.scores)
            text += (
                f" {line.method.name} is significantly better than the best baseline in {line.count('better')} of "
                f"{count} metrics and significantly worse in {line.count('worse')}."
            )
            chosen = Counter(score.baseline for score in line.scores if score.baseline).most_common()
            text += f" Best baselines: {', '.join(f'{name} in {times}' for name, times in chosen)}."
        return text.strip()

    def footnotes(self) -> list[str]:
        """One sentence for each kind of failure, and for each metric that is undefined on some images."""
        rows = [{"name": line.method.name, "failed": line.failed} for line in self.lines]
        notes = [one_line(text) for text in problems({"unscored": self.plain["unscored"], "methods": rows})]
        total = len(self.scenes)
        for index, column in enumerate(self.columns):
            undefined = [(line, line.scores[index].missing - line.lost) for line in self.lines]
            listed = [f"{line.method.name} on {count} of {total}" for line, count in undefined if count > 0]
            if listed:
                notes.append(
                    f"{column.name} ({column.dialect}) is undefined on some images, which are excluded from its mean: "
                    f"{', '.join(listed)}."
                )
        return notes


@dataclass(frozen=True)
class GridRow:
    """A row of a table of numbers that is not a leaderboard."""

    method: Method
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Grid:
    """A table of numbers: cost, a downstream task, or one metric under one degradation.

    Args:
        title: Heading.
        text: Conditions below the heading.
        columns: Headings of the columns.
        rows: The rows.
        stamps: Warnings.
    """

    title: str
    text: str
    columns: tuple[str, ...]
    rows: tuple[GridRow, ...]
    stamps: tuple[Stamp, ...] = ()


@dataclass(frozen=True)
class Sweep:
    """One metric of all methods under increasing severities of one degradation; `values` has a row per method."""

    dataset: str
    title: str
    scenes: int
    column: MetricColumn
    severities: tuple[str, ...]
    methods: tuple[Method, ...]
    values: tuple[tuple[float, ...], ...]

    def grid(self) -> Grid:
        """The values as a table."""
        decimals = decimals_for([value for row in self.values for value in row])
        columns = [
            column_cells(
                [row[index] for row in self.values],
                higher_is_better=self.column.higher_is_better,
                decimals=decimals,
            )
            for index in range(len(self.severities))
        ]
        rows = tuple(
            GridRow(method, tuple(column[index] for column in columns)) for index, method in enumerate(self.methods)
        )
        text = f"{self.dataset}, mean over {images(self.scenes)}, {direction(self.column)}"
        return Grid(f"{self.title}: {self.column.name} ({self.column.dialect})", text, self.severities, rows)


def images(count: int) -> str:
    """``1 image``, ``2 images``."""
    return f"{count} image{'' if count == 1 else 's'}"


def arrow(column: MetricColumn) -> str:
    """↑ if higher is better, else ↓."""
    return "↑" if column.higher_is_better else "↓"


def direction(column: MetricColumn) -> str:
    """The direction of a metric in words."""
    return "higher is better" if column.higher_is_better else "lower is better"


def signed(value: float, decimals: int) -> str:
    """A number with its sign."""
    text = number(value, decimals)
    return f"+{text}" if value > 0 else text


def best_of(lines: Sequence[Line], *, baselines: bool) -> Line | None:
    """The first line that is, or is not, a baseline."""
    return next((line for line in lines if line.method.is_baseline == baselines), None)
