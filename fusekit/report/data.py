"""Contents of a report as plain frozen data, so that rendering does not depend on the run.

All strings are plain text, which is escaped when rendered; none is HTML.
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
        title: Caption, such as "Infrared" or "Fused".
        image: ``(H, W)`` or ``(H, W, 3)``, uint8.
        note: Short addition to the caption, such as the origin of a segmentation.
        kind: ``fused`` is the result (one per scene), which is shown large, or in the size of the others if the scene
            has an ``ideal``; ``labels`` (a label map or an overlay of one) and ``weights`` (`pictures.heat`) add the
            legend of their colours; ``reconstruction`` is a source recovered from the result.
    """

    title: str
    image: np.ndarray
    note: str = ""
    kind: PictureKind = "photo"


@dataclass(frozen=True)
class SceneRow:
    """The pictures of one scene, in display order."""

    id: str
    pictures: tuple[Picture, ...]
    note: str = ""


@dataclass(frozen=True)
class MetricColumn:
    """A metric in one dialect (definition).

    Args:
        name: Short name ("MI").
        dialect: Name of the definition; values of different dialects cannot be compared.
        unit: Unit, such as "bit"; empty for a dimensionless number.
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
        """``NAME@DIALECT``, which distinguishes two dialects of one metric in the mappings of `MethodRow`."""
        return f"{self.name}@{self.dialect}"


@dataclass(frozen=True)
class MethodRow:
    """Metric values of one method.

    The mappings are keyed by a column's name, or by its `MetricColumn.key` if the table has the metric in several
    dialects.

    Args:
        name: Name of the method, such as "UAAFusion (this run)" or "Copy of visible".
        is_model: Whether the method is the model of this run.
        values: Mean over the images; NaN where the metric is undefined on all of them.
        per_source: Values against each source, in the order of the table's roles.
        undefined: Number of images on which the metric was undefined and which are excluded from the mean.
        images: Number of images that were scored; None if it is that of the table. A row with fewer images is marked,
            and never as the best.
    """

    name: str
    is_model: bool
    values: Mapping[str, float]
    per_source: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    undefined: Mapping[str, int] = field(default_factory=dict)
    images: int | None = None


@dataclass(frozen=True)
class MetricTable:
    """Table of methods and metrics, on a named set of images.

    Raises:
        ValueError: Two columns are the same metric in the same dialect, or a row is keyed by a bare name that several
            dialects share: either would print a number under the wrong heading. Or two rows have the same name.
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
            raise ValueError(f"the columns contain the same metric of one dialect twice: {', '.join(keys)}")
        _refuse_repeated([row.name for row in self.rows])
        shared = {name for name in names if names.count(name) > 1}
        for row in self.rows:
            for mapping in (row.values, row.per_source, row.undefined):
                if bare := sorted(shared & set(mapping)):
                    raise ValueError(
                        f"row {row.name!r} has the key {bare[0]!r}, which is ambiguous, because the table has this "
                        "metric in several dialects; use keys like "
                        f"{next(key for key in keys if key.startswith(bare[0] + '@'))!r}"
                    )

    def complete(self, row: MethodRow) -> bool:
        """Whether `row` was scored on all images of the table."""
        return row.images is None or row.images == self.images

    def value(self, row: MethodRow, column: MetricColumn) -> float:
        """Value of `row` in `column`; NaN if it has none."""
        return row.values.get(column.key, row.values.get(column.name, math.nan))

    def per_source(self, row: MethodRow, column: MetricColumn) -> tuple[float, ...]:
        """Values of `row` in `column` against each source; empty if the metric has none."""
        return row.per_source.get(column.key, row.per_source.get(column.name, ()))

    def undefined(self, row: MethodRow, column: MetricColumn) -> int:
        """Number of images on which the metric was undefined for `row`."""
        return row.undefined.get(column.key, row.undefined.get(column.name, 0))


@dataclass(frozen=True)
class TaskRow:
    """Scores of the task network for one kind of input ("Fused", "Infrared", …), in [0, 1].

    Args:
        input: Name of the network's input.
        is_model: Whether the input is the output of this run's model.
        mean_iou: Mean score over the classes: the intersection over union of a segmentation, or AP50 of a detector.
        per_class: Score of each class; NaN if it is undefined.
        further: Further scores over the classes, such as AP.
    """

    input: str
    is_model: bool
    mean_iou: float
    per_class: tuple[float, ...]
    further: tuple[float, ...] = ()


@dataclass(frozen=True)
class TaskTable:
    """Table of task scores under one protocol; scores of different protocols are never in one table.

    Args:
        title: The task, as the heading of the section.
        measure: What the numbers are, in one phrase.
        scores: Names of the scores over all classes, that of `TaskRow.mean_iou` first.
        absent: When the score of a class is undefined.

    Raises:
        ValueError: Two rows have the same name.
    """

    protocol: str
    class_names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    rows: tuple[TaskRow, ...]
    note: str = ""
    title: str = "Segmentation"
    measure: str = "Intersection over union (IoU)"
    scores: tuple[str, ...] = ("Mean IoU",)
    absent: str = "the class occurs in neither label nor prediction"

    def __post_init__(self) -> None:
        _refuse_repeated([row.input for row in self.rows])


def _refuse_repeated(names: Sequence[str]) -> None:
    """Refuse repeated names: the table and the text below it identify a row only by its name."""
    if len(set(names)) < len(names):
        raise ValueError(f"several rows have the same name: {', '.join(names)}")


@dataclass(frozen=True)
class Curve:
    """A value recorded during training; values that are not finite appear as gaps.

    Args:
        phase: The phase of training.
        name: Name of the value, such as "total".
        steps: Steps at which the values were recorded.
        values: One value per step.
        best: Step of the best value, if this curve was used to select one.
        own_chart: Whether the curve has its own chart, because its unit differs from that of the phase's other curves.

    Raises:
        ValueError: The numbers of steps and values differ, or the best step is not one of the steps.
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
            raise ValueError(f"curve {self.name!r}: the best step {self.best} is not one of its steps")


@dataclass(frozen=True)
class ImageRow:
    """Metric values of one method on one image.

    Args:
        image: Identifier of the image.
        method: Name of the method.
        values: One value per column of the metric table; NaN where the metric is undefined; empty if the image failed.
        error: Why the image could not be scored; empty if it was.
    """

    image: str
    method: str
    values: tuple[float, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Stamp:
    """A warning that applies to all numbers of the report: "Synthetic data", "Pseudo-labels"."""

    title: str
    text: str


@dataclass(frozen=True)
class ReportData:
    """Contents of a report.

    Args:
        title: Heading, such as the recipe's name.
        summary: One sentence about the model, the data and the result.
        stamps: Warnings, shown first and repeated at every table.
        facts: Names and values of the most important facts (data, epochs, parameters, time).
        scenes: Scenes of the test split.
        metrics: Table of fusion metrics, if measured.
        task: Table of the downstream task, if there is one.
        curves: Training curves; one chart per phase.
        recipe: The resolved recipe, as YAML.
        created: Date and time of the report, as text.
        images: Metric values image by image, with the images that failed; empty if the page does not show them.
        kicker: The kind of the page, above its heading.
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
    images: tuple[ImageRow, ...] = ()
    kicker: str = "fusekit report"
