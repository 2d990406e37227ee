"""What a report shows, as plain frozen data: whoever fills it knows the run, whoever renders it does not.

Every string is taken as text and escaped when rendered; nothing here is HTML.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

PictureKind = Literal["photo", "fused", "ideal", "labels", "weights", "reconstruction"]


@dataclass(frozen=True)
class Picture:
    """One picture of a scene.

    Args:
        title: What it is ("Infrared", "Fused"), shown under it.
        image: ``(H, W)`` or ``(H, W, 3)``, uint8.
        note: A few words more, such as where a segmentation comes from.
        kind: ``fused`` is the result, which its scene shows large (one a scene), or as large as the others
            where it stands beside its ``ideal``; ``labels`` (a label map, or one laid over a picture) and
            ``weights`` (`pictures.heat`) ask for the legend of their colours; ``reconstruction`` is a source
            recovered from the result.
    """

    title: str
    image: np.ndarray
    note: str = ""
    kind: PictureKind = "photo"


@dataclass(frozen=True)
class SceneRow:
    """The pictures of one scene, in the order in which they are shown."""

    id: str
    pictures: tuple[Picture, ...]
    note: str = ""


@dataclass(frozen=True)
class MetricColumn:
    """A metric as one dialect defines it.

    Args:
        name: Short name ("MI").
        dialect: Whose definition the numbers follow; a metric without it cannot be compared.
        unit: Such as "bit"; empty for a pure number.
        higher_is_better: Direction, for the arrow and the best value.
        explanation: One sentence for readers who do not know the metric.
    """

    name: str
    dialect: str
    unit: str = ""
    higher_is_better: bool = True
    explanation: str = ""

    @property
    def key(self) -> str:
        """``NAME@DIALECT``, which tells two dialects of one metric apart in `MethodRow`'s mappings."""
        return f"{self.name}@{self.dialect}"


@dataclass(frozen=True)
class MethodRow:
    """The numbers of one method.

    The mappings are keyed by a column's name, or by its `MetricColumn.key` where the table has that metric in
    several dialects.

    Args:
        name: Such as "UAAFusion (this run)" or "Copy of visible".
        is_model: Whether this is what the run trained.
        values: Mean over the images; NaN where the metric is undefined on all of them.
        per_source: Values against each source, in the order of the table's roles.
        undefined: Number of images on which the metric was undefined and which the mean leaves out.
    """

    name: str
    is_model: bool
    values: Mapping[str, float]
    per_source: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    undefined: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class MetricTable:
    """Methods against metrics, on a named set of images.

    Raises:
        ValueError: Where two columns are the same metric in the same dialect, or a row is keyed by a bare
            name that two dialects share: either would print a number under a heading that is not its own. Or
            where two rows have one name.
    """

    columns: tuple[MetricColumn, ...]
    rows: tuple[MethodRow, ...]
    images: int
    subset: str
    roles: tuple[str, ...]
    note: str = ""

    def __post_init__(self) -> None:
        keys = [column.key for column in self.columns]
        names = [column.name for column in self.columns]
        if len(set(keys)) < len(keys):
            raise ValueError(f"the same metric twice in one dialect: {', '.join(keys)}")
        _refuse_repeated([row.name for row in self.rows])
        shared = {name for name in names if names.count(name) > 1}
        for row in self.rows:
            for mapping in (row.values, row.per_source, row.undefined):
                if bare := sorted(shared & set(mapping)):
                    raise ValueError(
                        f"row {row.name!r} gives {bare[0]!r}, which the table has in several dialects; "
                        f"use keys like {next(key for key in keys if key.startswith(bare[0] + '@'))!r}"
                    )

    def value(self, row: MethodRow, column: MetricColumn) -> float:
        """Value of `row` in `column`; NaN where it has none."""
        return row.values.get(column.key, row.values.get(column.name, math.nan))

    def per_source(self, row: MethodRow, column: MetricColumn) -> tuple[float, ...]:
        """Values of `row` in `column` against each source; empty where the metric has none."""
        return row.per_source.get(column.key, row.per_source.get(column.name, ()))

    def undefined(self, row: MethodRow, column: MetricColumn) -> int:
        """On how many images the metric was undefined for `row`."""
        return row.undefined.get(column.key, row.undefined.get(column.name, 0))


@dataclass(frozen=True)
class TaskRow:
    """What the task network makes of one kind of input ("Fused", "Infrared", …).

    Args:
        input: What the network was shown.
        is_model: Whether that is the output of what the run trained.
        mean_iou: Mean intersection over union, in [0, 1].
        per_class: IoU of each class; NaN where the class occurs in neither label nor prediction.
    """

    input: str
    is_model: bool
    mean_iou: float
    per_class: tuple[float, ...]


@dataclass(frozen=True)
class TaskTable:
    """Segmentation under one protocol; numbers of two protocols never share a table.

    Raises:
        ValueError: Where two rows have one name.
    """

    protocol: str
    class_names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    rows: tuple[TaskRow, ...]
    note: str = ""

    def __post_init__(self) -> None:
        _refuse_repeated([row.input for row in self.rows])


def _refuse_repeated(names: Sequence[str]) -> None:
    """A row is known by its name alone, in the table and in the sentences under it."""
    if len(set(names)) < len(names):
        raise ValueError(f"several rows have one name: {', '.join(names)}")


@dataclass(frozen=True)
class Curve:
    """A number followed through training; values that are not finite leave gaps.

    Args:
        phase: The phase of training.
        name: Such as "total".
        steps: Where the values were recorded.
        values: As many.
        best: The step of the best value, where one was chosen by this curve.
        own_chart: Whether its units are not those of the other curves of the phase.

    Raises:
        ValueError: Where there are not as many steps as values, or the best one is none of them.
    """

    phase: str
    name: str
    steps: tuple[int, ...]
    values: tuple[float, ...]
    best: int | None = None
    own_chart: bool = False

    def __post_init__(self) -> None:
        if len(self.steps) != len(self.values):
            raise ValueError(f"curve {self.name!r}: {len(self.steps)} steps, {len(self.values)} values")
        if self.best is not None and self.best not in self.steps:
            raise ValueError(f"curve {self.name!r}: the best step {self.best} is none of its steps")


@dataclass(frozen=True)
class Stamp:
    """A warning that belongs to every number of the report: "Synthetic data", "Pseudo-labels"."""

    title: str
    text: str


@dataclass(frozen=True)
class ReportData:
    """All that a report shows.

    Args:
        title: Heading, such as the recipe's name.
        summary: One sentence: what was trained on what, and what came of it.
        stamps: Warnings, shown first and repeated at every table.
        facts: Names and values of what one asks first (data, epochs, parameters, time).
        scenes: Scenes of the test split.
        metrics: Table of fusion metrics, if measured.
        task: Table of the downstream task, if there is one.
        curves: Training curves; a chart for each phase.
        recipe: The recipe as resolved, as YAML.
        created: When, as text.
    """

    title: str
    summary: str
    stamps: tuple[Stamp, ...]
    facts: tuple[tuple[str, str], ...]
    scenes: tuple[SceneRow, ...]
    metrics: MetricTable | None
    task: TaskTable | None
    curves: tuple[Curve, ...]
    recipe: str
    created: str
