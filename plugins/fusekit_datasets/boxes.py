"""Reading of boxes: YOLO text files, one per scene, and COCO JSON files, one per split."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

import torch
from pydantic import BaseModel, Field, ValidationError

from fusekit.errors import DataError
from fusekit.interfaces import Boxes

TOLERANCE = 1.0
"""Pixels by which a box may extend beyond its image: annotation programs round. It is cut at the border."""


class BoxReader(Protocol):
    """The boxes of a split."""

    def __contains__(self, stem: str) -> bool:
        """Whether a scene is annotated; one without objects is."""
        ...

    def read(self, stem: str, size: tuple[int, int]) -> Boxes:
        """The boxes of an annotated scene.

        Args:
            stem: Stem of the scene's files.
            size: (height, width) of its images.

        Raises:
            DataError: A box or a class is not valid; the message names the file and the line or annotation.
        """
        ...


def open_boxes(path: Path, indices: Mapping[str, int]) -> BoxReader:
    """The boxes of a folder of YOLO files or of a COCO file.

    Args:
        path: The folder, or the file, whose name ends in ``.json``.
        indices: Name of each class, in the order of the numbers in YOLO files → its index in the class table.

    Raises:
        DataError: The path does not exist, or the file is not a COCO file.
    """
    return CocoBoxes(path, indices) if path.suffix.lower() == ".json" else YoloBoxes(path, indices)


def unknown_boxes(size: tuple[int, int]) -> Boxes:
    """The boxes of an image whose objects are not annotated: one ignored box of every class that covers it."""
    height, width = size
    return Boxes(torch.tensor([[0.0, 0.0, width, height]]), torch.tensor([-1]), torch.tensor([True]))


class NoBoxes:
    """A split without annotated scenes."""

    def __contains__(self, stem: str) -> bool:
        return False

    def read(self, stem: str, size: tuple[int, int]) -> Boxes:
        """Not called, because no scene is annotated."""
        raise KeyError(stem)


@dataclass(frozen=True)
class _Row:
    """One annotation: corners in pixels, index of the class table, whether it is ignored."""

    corners: tuple[float, float, float, float]
    label: int
    ignored: bool = False


class YoloBoxes:
    """A folder of text files ``STEM.txt`` with one box in each line: ``class cx cy width height``.

    The class is a number from 0; the others are relative to the width and height of the image. An empty file means that
    the scene has no object.
    """

    def __init__(self, folder: Path, indices: Mapping[str, int]) -> None:
        if not folder.is_dir():
            raise DataError(f"{folder}: there is no such folder")
        self._folder = folder
        self._indices = indices
        self._stems = {path.stem for path in folder.glob("*.txt")}

    def __contains__(self, stem: str) -> bool:
        return stem in self._stems

    def read(self, stem: str, size: tuple[int, int]) -> Boxes:
        """See `BoxReader`."""
        path = self._folder / f"{stem}.txt"
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: the boxes cannot be read ({error})") from error
        rows = [
            self._row(line.split(), size, f"{path}, line {number}")
            for number, line in enumerate(lines, start=1)
            if line.strip()
        ]
        return _boxes(rows)

    def _row(self, values: list[str], size: tuple[int, int], where: str) -> _Row:
        if len(values) != 5:
            raise DataError(f"{where}: expected `class cx cy width height`, found {len(values)} values")
        names = list(self._indices)
        if not values[0].isdecimal() or int(values[0]) >= len(names):
            known = ", ".join(f"{number} {name}" for number, name in enumerate(names))
            raise DataError(f"{where}: unknown class {values[0][:20]!r}; the classes are {known}")
        x, y, width, height = (_number(value, where) for value in values[1:])
        tall, wide = size
        box = (x - width / 2) * wide, (y - height / 2) * tall, (x + width / 2) * wide, (y + height / 2) * tall
        hint = "The numbers must be relative to width and height, from 0 to 1." if max(x, y, width, height) > 2 else ""
        return _Row(_inside(box, size, where, hint), self._indices[names[int(values[0])]])


class _Image(BaseModel):
    id: int
    file_name: str
    width: int | None = None
    height: int | None = None


class _Annotation(BaseModel):
    id: int | str = "?"
    image_id: int
    category_id: int
    bbox: list[float] = Field(min_length=4, max_length=4)
    iscrowd: bool = False
    ignore: bool = False


class _Category(BaseModel):
    id: int
    name: str


class _Coco(BaseModel):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


class CocoBoxes:
    """A COCO JSON file: ``images``, ``categories`` and ``annotations`` with ``bbox: [x, y, width, height]`` in pixels.

    Images belong to scenes by the stem of their ``file_name``, classes to the class table by their ``name``. An image
    without annotations has no object. ``iscrowd`` and ``ignore`` make a box an ignored one.
    """

    def __init__(self, path: Path, indices: Mapping[str, int]) -> None:
        self._path = path
        self._indices = indices
        try:
            content = _Coco.model_validate_json(path.read_bytes())
        except OSError as error:
            raise DataError(f"{path}: the boxes cannot be read ({error.strerror or error})") from error
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the file"
            raise DataError(f"{path}: not a valid COCO file: {place}: {first['msg']}") from error
        self._names = {category.id: category.name for category in content.categories}
        self._images: dict[str, _Image] = {}
        for image in content.images:
            stem = PurePosixPath(image.file_name.replace("\\", "/")).stem
            if stem in self._images:
                raise DataError(f"{path}: two images have the stem {stem!r}, which must be unique")
            self._images[stem] = image
        self._annotations: dict[int, list[_Annotation]] = {image.id: [] for image in content.images}
        for annotation in content.annotations:
            if annotation.image_id not in self._annotations:
                raise DataError(f"{path}, annotation {annotation.id}: there is no image {annotation.image_id}")
            self._annotations[annotation.image_id].append(annotation)

    def __contains__(self, stem: str) -> bool:
        return stem in self._images

    def read(self, stem: str, size: tuple[int, int]) -> Boxes:
        """See `BoxReader`."""
        image = self._images[stem]
        stated = (image.height or size[0], image.width or size[1])
        if stated != size:
            raise DataError(
                f"{self._path}: {image.file_name} is {stated[0]}x{stated[1]} (height x width) there, but the images of "
                f"the scene are {size[0]}x{size[1]}"
            )
        return _boxes([self._row(annotation, size) for annotation in self._annotations[image.id]])

    def _row(self, annotation: _Annotation, size: tuple[int, int]) -> _Row:
        where = f"{self._path}, annotation {annotation.id}"
        name = self._names.get(annotation.category_id, "")
        if name not in self._indices:
            found = repr(name[:60]) if name else f"category {annotation.category_id}"
            raise DataError(f"{where}: unknown class {found}; the classes are {', '.join(self._indices)}")
        x, y, width, height = annotation.bbox
        if not all(map(math.isfinite, annotation.bbox)):
            raise DataError(f"{where}: its numbers must be finite")
        corners = _inside((x, y, x + width, y + height), size, where)
        return _Row(corners, self._indices[name], annotation.iscrowd or annotation.ignore)


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where}: {text[:20]!r} is not a finite number")
    return value


def _inside(
    box: tuple[float, float, float, float], size: tuple[int, int], where: str, hint: str = ""
) -> tuple[float, float, float, float]:
    """The box, cut at the border of the image."""
    left, top, right, bottom = box
    height, width = size
    if right <= left or bottom <= top:
        raise DataError(f"{where}: the box is {right - left:g} pixels wide and {bottom - top:g} high, so it is empty")
    beyond = max(-left, -top, right - width, bottom - height)
    if beyond > TOLERANCE:
        raise DataError(
            f"{where}: the box extends {beyond:.1f} pixels beyond the image of {width}x{height} pixels", hint=hint
        )
    cut = max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))
    if cut[2] <= cut[0] or cut[3] <= cut[1]:
        raise DataError(f"{where}: the box is outside of the image of {width}x{height} pixels", hint=hint)
    return cut


def _boxes(rows: list[_Row]) -> Boxes:
    return Boxes(
        torch.tensor([row.corners for row in rows], dtype=torch.float32).view(-1, 4),
        torch.tensor([row.label for row in rows], dtype=torch.int64),
        torch.tensor([row.ignored for row in rows], dtype=torch.bool),
    )
