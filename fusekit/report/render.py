"""Rendering of a report as one self-contained HTML file, without network access or other files.

The page is readable without its script.
"""

from __future__ import annotations

import base64
import hashlib
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from fusekit.files import write_text
from fusekit.report.curves import charts
from fusekit.report.data import Picture, ReportData, SceneRow
from fusekit.report.pictures import HEAT, data_uri
from fusekit.report.tables import hex_colour, image_view, metric_view, per_source_view, task_view
from fusekit.report.text_tables import one_line

_PACKAGE = "fusekit.report"


@dataclass(frozen=True)
class _Figure:
    title: str
    note: str
    kind: str
    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class _Scene:
    id: str
    note: str
    columns: int
    lead: bool
    figures: tuple[_Figure, ...]


def _sides(pictures: int) -> int:
    """Longest side of an embedded picture: 640 for up to 40 pictures, less for more, so that the page stays within a
    few megabytes."""
    for limit, side in ((40, 640), (90, 480), (200, 320)):
        if pictures <= limit:
            return side
    return 240


def _layout(pictures: Sequence[Picture]) -> tuple[int, bool]:
    """Number of columns on a wide page, and whether the fused picture leads.

    A leading fused picture is large, and the other pictures are arranged in pairs beside it: the sources above each
    other, their weights, the segmentation above the label. If there is an ideal, it is compared with the fused picture,
    so both have the same size: the first row ends with the ideal, and the other pictures follow below.
    """
    count = len(pictures)
    ideal = next((index for index, picture in enumerate(pictures) if picture.kind == "ideal"), count)
    if 2 <= ideal < min(count, 6):
        return ideal + 1, False
    if sum(picture.kind == "fused" for picture in pictures) == 1 and 3 <= count <= 9:
        return 2 + math.ceil((count - 1) / 2), True
    return (max(1, count) if count <= 5 else min(5, math.ceil(count / 2))), False


def _figure(picture: Picture, side: int) -> _Figure:
    height, width = picture.image.shape[:2]
    return _Figure(picture.title, picture.note, picture.kind, data_uri(picture.image, max_side=side), width, height)


def _scenes(rows: Sequence[SceneRow]) -> tuple[_Scene, ...]:
    side = _sides(sum(len(row.pictures) for row in rows))
    return tuple(
        _Scene(
            row.id,
            row.note,
            *_layout(row.pictures),
            tuple(_figure(picture, side) for picture in row.pictures),
        )
        for row in rows
    )


def breakable(text: str) -> Markup:
    """Escaped text with possible line breaks after dots and underscores of long names, but not inside numbers."""
    return Markup(re.sub(r"(?<=\w)([._/])(?=[A-Za-z])", r"\1<wbr>", str(escape(one_line(text)))))


def asset(name: str) -> str:
    """Text of a file of this package, such as ``style.css``."""
    return (resources.files(_PACKAGE) / name).read_text(encoding="utf-8")


def heat_gradient() -> str:
    """The colours of `pictures.HEAT` as a CSS gradient."""
    stops = (hex_colour(HEAT[round(position * 255 / 16)].tolist()) for position in range(17))
    return f"linear-gradient(to right, {', '.join(stops)})"


def environment() -> Environment:
    """Templates of this package; text is escaped."""
    made = Environment(
        loader=PackageLoader(_PACKAGE, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["breakable"] = breakable
    return made


def script_hash(script: str) -> str:
    """Source expression that allows an inline script in a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode('ascii')}'"


def render(data: ReportData) -> str:
    """Render the report as HTML.

    All text from `data` is escaped. In addition, the page's content security policy forbids loading any resource and
    running any script except the report's own, which is identified by its hash.
    """
    script = asset("enhance.js")
    kinds = {picture.kind for scene in data.scenes for picture in scene.pictures}
    legend = []
    if data.task is not None:
        colours = [hex_colour(colour) for colour in data.task.palette]
        legend = list(zip(data.task.class_names, colours, strict=False))
    return (
        environment()
        .get_template("template.html.j2")
        .render(
            data=data,
            scenes=_scenes(data.scenes),
            metrics=metric_view(data.metrics) if data.metrics else None,
            per_source=per_source_view(data.metrics) if data.metrics else None,
            images=image_view(data.metrics, data.images) if data.metrics and data.images else None,
            failures=[row for row in data.images if row.error],
            task=task_view(data.task) if data.task else None,
            charts=[(chart, Markup(chart.svg)) for chart in charts(data.curves)],
            legend=legend,
            shows_weights="weights" in kinds,
            heat_gradient=heat_gradient(),
            style=Markup(asset("style.css")),
            script=Markup(script),
            script_hash=script_hash(script),
        )
    )


def write_report(data: ReportData, path: str | os.PathLike[str]) -> Path:
    """Render and write the report atomically; if that fails, an existing report is kept.

    Args:
        data: Contents of the report.
        path: Path of the file; missing folders are created.

    Returns:
        The path.

    Raises:
        RunError: The file cannot be written.
    """
    path = Path(path)
    write_text(path, render(data))
    return path
