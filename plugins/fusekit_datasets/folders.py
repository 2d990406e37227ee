"""Folders of files paired by stem: finding and reading the scenes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from fusekit.data import IMAGE_SUFFIXES, image_files, read_image, read_label
from fusekit.errors import DataError
from fusekit.interfaces.dataset import FusionDataset, Sample, Split
from fusekit.interfaces.dataset_config import DatasetConfig
from fusekit.words import some
from fusekit_datasets.boxes import BoxReader, NoBoxes, open_boxes, unknown_boxes
from fusekit_datasets.config import FolderConfig


@dataclass(frozen=True)
class Scene:
    """The files of a scene.

    Attributes:
        stem: Common stem of the files.
        images: One file per role, in order.
        label: The label map, if there is one.
    """

    stem: str
    images: tuple[Path, ...]
    label: Path | None


def natural_key(text: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Key of natural sorting, in which ``scene2`` comes before ``scene10``; ties are resolved by the text itself."""
    parts = (part for part in re.split(r"([0-9]+)", text) if part)
    key = tuple((0, int(p), "") if p[0] in "0123456789" else (1, 0, p.casefold()) for p in parts)
    return key, text


def files_by_stem(folder: Path) -> dict[str, Path]:
    """Image files of a folder by stem. Hidden files and files that are not images are ignored.

    Raises:
        DataError: The folder does not exist, or two of its files have the same stem.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder")
    found: dict[str, Path] = {}
    for path in image_files(folder):
        if path.stem in found:
            raise DataError(
                f"{folder}: {found[path.stem].name} and {path.name} have the same stem, which must be unique, because "
                "it names the scene",
                hint="Move one of them to another folder.",
            )
        found[path.stem] = path
    return found


def read_stems(path: Path) -> list[str]:
    """Stems of a list file in order, without blank lines, ``#`` comments and image suffixes.

    Raises:
        DataError: The file cannot be read, is empty, or contains a stem twice.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: the list of scenes cannot be read ({error})") from error
    names = [line.split("#", 1)[0].strip() for line in lines]
    stems = [n[: -len(Path(n).suffix)] if Path(n).suffix.lower() in IMAGE_SUFFIXES else n for n in names if n]
    if not stems:
        raise DataError(f"{path}: the list of scenes is empty")
    repeated = sorted({stem for stem in stems if stems.count(stem) > 1}) if len(set(stems)) < len(stems) else []
    if repeated:
        raise DataError(f"{path}: the list of scenes contains {some(repeated)} more than once")
    return stems


def find_scenes(config: FolderConfig, root: Path, split: Split) -> list[Scene]:
    """Pair the files of a split by stem, without reading pixels.

    Raises:
        DataError: A folder or list is missing, files are unpaired, the split is empty, or two lists for the same folder
            share scenes: those of training and test, or those of validation and another split.
    """
    folder = config.split_folder(split)
    if folder is None:
        raise DataError(f"{config.title()}: the recipe has no {split} split ({split}_folder: null)")
    files = {
        role: files_by_stem(root / pattern.replace("{split}", folder))
        for role, pattern in config.source_patterns().items()
    }
    listed = config.split_list(split)
    if listed is None:
        stems = _paired_stems(config, files, f"{config.title()} {split} split below {root}")
    else:
        stems = read_stems(root / listed)
        _check_listed(files, stems, root / listed)
    others: dict[Split, tuple[Split, ...]] = {"train": ("test",), "val": ("test", "train")}
    for other in others.get(split, ()):
        _check_apart(config, root, split, stems, other)
    labels = _labels(config, root, folder, stems)
    return [Scene(s, tuple(of_role[s] for of_role in files.values()), labels.get(s)) for s in stems]


def _paired_stems(config: FolderConfig, files: dict[str, dict[str, Path]], where: str) -> list[str]:
    every = set().union(*files.values())
    paired = every.intersection(*files.values())
    if every != paired and not config.skip_unpaired:
        lacking = "; ".join(
            f"{len(absent)} have no {role} image: {some(absent)}"
            for role, of_role in files.items()
            if (absent := sorted(every - set(of_role), key=natural_key))
        )
        raise DataError(
            f"{where}: of {len(every)} scenes, {lacking}",
            hint="The files of a scene must have the same stem in every folder; `skip_unpaired: true` skips others.",
        )
    if not paired:
        raise DataError(
            f"{where}: no scene was found", hint=f"Supported image suffixes: {', '.join(sorted(IMAGE_SUFFIXES))}."
        )
    return sorted(paired, key=natural_key)


def _check_listed(files: dict[str, dict[str, Path]], stems: Sequence[str], listing: Path) -> None:
    for role, of_role in files.items():
        if absent := [stem for stem in stems if stem not in of_role]:
            raise DataError(f"{listing}: {len(absent)} listed scenes have no {role} image: {some(absent)}")


def _check_apart(config: FolderConfig, root: Path, split: Split, stems: Iterable[str], other: Split) -> None:
    """Refuse scenes that are in two splits, which is only possible with lists for the same folder."""
    mine, theirs = config.split_list(split), config.split_list(other)
    if theirs is None or not config.same_place(split, other):
        return
    if split == "val" and mine in (None, theirs):  # `unfit_for_validation` reports that it equals or contains the other
        return
    if both := sorted(set(stems) & set(read_stems(root / theirs)), key=natural_key):
        names = {"train": "training", "val": "validation", "test": "test"}
        raise DataError(
            f"{root}: {len(both)} scenes are in both the {names[split]} and the {names[other]} split: {some(both)}",
            hint="Remove them from one of the two lists.",
        )


def _labels(config: FolderConfig, root: Path, folder: str, stems: Sequence[str]) -> dict[str, Path]:
    pattern = config.label_pattern()
    if pattern is None:
        return {}
    place = root / pattern.replace("{split}", folder)
    if config.labelled == "optional" and not place.is_dir():
        return {}
    found = files_by_stem(place)
    if config.labelled == "required" and (absent := [stem for stem in stems if stem not in found]):
        raise DataError(
            f"{place}: {len(absent)} of {len(stems)} scenes have no label map: {some(absent)}",
            hint="`labelled: optional` treats all their pixels as ignored, `labelled: off` reads no label maps.",
        )
    return found


def _box_reader(config: FolderConfig, root: Path, split: Split, stems: Sequence[str]) -> BoxReader | None:
    pattern = config.box_pattern()
    if pattern is None:
        return None
    place = root / pattern.replace("{split}", str(config.split_folder(split)))
    if config.labelled == "optional" and not place.exists():
        return NoBoxes()
    table = config.classes()
    assert table is not None
    reader = open_boxes(place, {name: table.names.index(name) for name in config.box_classes()})
    if config.labelled == "required" and (absent := [stem for stem in stems if stem not in reader]):
        raise DataError(
            f"{place}: {len(absent)} of {len(stems)} scenes have no boxes: {some(absent)}",
            hint="An empty file means that a scene has no object. `labelled: optional` treats the scenes without a "
            "file as not annotated, `labelled: off` reads no boxes.",
        )
    return reader


class FolderDataset(FusionDataset):
    """A dataset of folders, as described by a `FolderConfig`."""

    Config: ClassVar[type[DatasetConfig]] = FolderConfig

    def __init__(self, config: DatasetConfig, root: Path | None, split: Split, *, seed: int = 0) -> None:
        assert isinstance(config, FolderConfig)
        if root is None:
            raise DataError(config.missing(None) or f"{config.title()}: no data root is given")
        self._classes = None if config.label_pattern() is None else config.classes()
        try:
            self._scenes = find_scenes(config, root, split)
        except DataError as error:
            # If a folder is missing, the expected folder tree is the most useful hint.
            raise DataError(error.message, hint=error.hint or config.missing(root)) from error
        self._ids = tuple(scene.stem for scene in self._scenes)
        self._boxes = _box_reader(config, root, split, self._ids)

    @property
    def ids(self) -> Sequence[str]:
        """Stems of the scenes, in natural order or in the order of the split's list."""
        return self._ids

    def __getitem__(self, index: int) -> Sample:
        """Read a scene; a missing optional label map is replaced by one that contains only the ignore value.

        Missing optional boxes are replaced by an ignored one that covers the image.
        """
        scene = self._scenes[index]
        images = tuple(read_image(path) for path in scene.images)
        height, width = images[0].shape[-2:]
        for path, image in zip(scene.images, images, strict=True):
            _check_same_size(scene.images[0], (height, width), path, (image.shape[-2], image.shape[-1]))
        label = None
        if self._classes is not None and scene.label is not None:
            label = read_label(scene.label, self._classes)
            _check_same_size(scene.images[0], (height, width), scene.label, (label.shape[0], label.shape[1]))
        elif self._classes is not None:
            label = torch.full((height, width), self._classes.ignore_index, dtype=torch.int64)
        boxes = None
        if self._boxes is not None:
            known = scene.stem in self._boxes
            boxes = self._boxes.read(scene.stem, (height, width)) if known else unknown_boxes((height, width))
        return Sample(scene.stem, images, label, boxes=boxes)


def _check_same_size(first: Path, size: tuple[int, int], other: Path, other_size: tuple[int, int]) -> None:
    if size != other_size:
        raise DataError(
            f"{other}: is {other_size[0]}x{other_size[1]} (height x width), but {first} of the same scene is "
            f"{size[0]}x{size[1]}",
            hint="The images of a scene must be registered: same size, corresponding pixel by pixel.",
        )
