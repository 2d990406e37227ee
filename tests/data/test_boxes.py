"""Boxes: reading YOLO and COCO files, what is refused, and geometry that keeps them on their objects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from fusekit.data import TrainingData
from fusekit.data.packing import pack
from fusekit.data.transforms import Window, crop, flip, reflect_pad, resize, swap_sources
from fusekit.errors import DataError
from fusekit.interfaces import Boxes, Sample
from fusekit.recipe.schema import SamplingSection
from fusekit.seeds import stream
from fusekit_datasets.boxes import open_boxes
from fusekit_datasets.config import CollectionConfig, MsrsConfig, PairsConfig
from fusekit_datasets.datasets import MsrsDataset, PairsDataset
from fusekit_scenes.config import StreetsConfig
from fusekit_scenes.streets import Streets
from tests.data.files import levels, save
from tests.paths import shared_data

NAMES = {"person": 0, "bicycle": 1, "car": 2}
SIZE = (20, 40)


def yolo(folder: Path, text: str, stem: str = "a") -> Boxes:
    folder.mkdir(exist_ok=True)
    (folder / f"{stem}.txt").write_text(text, "utf-8")
    return open_boxes(folder, NAMES).read(stem, SIZE)


def test_yolo_known_answers(tmp_path: Path) -> None:
    found = yolo(tmp_path, "2 0.5 0.5 0.25 0.5\n\n0 0.05 0.1 0.1 0.2  \n")
    torch.testing.assert_close(found.corners, torch.tensor([[15.0, 5, 25, 15], [0, 0, 4, 4]]))
    assert found.classes.tolist() == [2, 0]
    assert found.ignored.tolist() == [False, False]
    assert yolo(tmp_path, "", "empty").corners.shape == (0, 4)
    assert yolo(tmp_path, "1 0.5 0.5 1.02 1\n", "round").corners.tolist() == [[0, 0, 40, 20]], "cut at the border"
    assert "a" in open_boxes(tmp_path, NAMES)
    assert "b" not in open_boxes(tmp_path, NAMES)


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("0 0.5 0.5 0.5", "expected `class cx cy width height`, found 4 values"),
        ("0 0.5 0.5 0.5 0.5 0.9", "found 6 values"),
        ("3 0.5 0.5 0.5 0.5", r"unknown class '3'; the classes are 0 person, 1 bicycle, 2 car"),
        ("car 0.5 0.5 0.5 0.5", "unknown class 'car'"),
        ("-1 0.5 0.5 0.5 0.5", "unknown class '-1'"),
        ("0 0.5 x 0.5 0.5", "'x' is not a finite number"),
        ("0 0.5 nan 0.5 0.5", "'nan' is not a finite number"),
        ("0 0.5 0.5 0.5 0", "so it is empty"),
        ("0 0.5 0.5 -0.5 0.5", "so it is empty"),
        ("0 0.9 0.5 0.5 0.5", r"extends 6\.0 pixels beyond the image of 40x20 pixels"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, cause: str) -> None:
    with pytest.raises(DataError, match=rf"a\.txt, line 2: .*{cause}"):
        yolo(tmp_path, f"0 0.5 0.5 0.5 0.5\n{line}\n")


def test_absolute_yolo_numbers_are_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        yolo(tmp_path, "0 15 5 25 15\n")
    assert "relative to width and height" in (caught.value.hint or "")


def coco(**changes: Any) -> str:
    plain: dict[str, Any] = {
        "images": [{"id": 7, "file_name": "x/a.jpg", "width": 40, "height": 20}, {"id": 8, "file_name": "b.png"}],
        "categories": [{"id": 3, "name": "car"}, {"id": 1, "name": "person"}, {"id": 9, "name": "unused"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 3, "bbox": [15, 5, 10, 10], "iscrowd": 0},
            {"id": 2, "image_id": 7, "category_id": 1, "bbox": [0, 0, 4, 4.5], "iscrowd": 1},
        ],
    }
    return json.dumps({**plain, **changes})


def test_coco_known_answers(tmp_path: Path) -> None:
    (tmp_path / "boxes.json").write_text(coco())
    reader = open_boxes(tmp_path / "boxes.json", NAMES)
    found = reader.read("a", SIZE)
    assert found.corners.tolist() == [[15, 5, 25, 15], [0, 0, 4, 4.5]]
    assert found.classes.tolist() == [2, 0]
    assert found.ignored.tolist() == [False, True], "iscrowd"
    assert len(reader.read("b", SIZE).classes) == 0
    assert "c" not in reader
    with pytest.raises(DataError, match=r"x/a\.jpg is 20x40 \(height x width\) there, but .* are 20x41"):
        reader.read("a", (20, 41))


def annotation(**changes: Any) -> dict[str, Any]:
    return {"id": 5, "image_id": 7, "category_id": 3, "bbox": [15, 5, 10, 10], **changes}


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("{", "not a valid COCO file"),
        (coco(annotations=[annotation(bbox=[1, 2, 3])]), r"annotations\.0\.bbox: List should have at least 4"),
        (coco(annotations=[annotation(bbox=[1, 2, "x", 4])]), r"annotations\.0\.bbox\.2"),
        (coco(annotations=[annotation(image_id=1)]), "annotation 5: there is no image 1"),
        (coco(annotations=[annotation(category_id=9)]), "annotation 5: unknown class 'unused'"),
        (coco(annotations=[annotation(category_id=4)]), "annotation 5: unknown class category 4"),
        (coco(annotations=[annotation(bbox=[35, 5, 10, 10])]), r"annotation 5: the box extends 5\.0 pixels"),
        (coco(annotations=[annotation(bbox=[5, 5, 0, 10])]), "annotation 5: the box is 0 pixels wide"),
        (coco(images=[{"id": 7, "file_name": "a.jpg"}, {"id": 9, "file_name": "z/a.png"}]), "the stem 'a'"),
    ],
)
def test_a_bad_coco_file_is_refused(tmp_path: Path, content: str, cause: str) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(content)
    with pytest.raises(DataError, match=cause) as caught:
        open_boxes(path, NAMES).read("a", SIZE)
    assert "boxes.json" in caught.value.message


@pytest.fixture
def msrs(tmp_path: Path) -> Path:
    """Two training scenes, of which the second has an empty file, and a test scene without one."""
    for split, stem in (("train", "one"), ("train", "two"), ("test", "three")):
        for role in ("ir", "vi"):
            save(tmp_path / split / role / f"{stem}.png", levels(SIZE, np.uint8))
        save(tmp_path / split / "Segmentation_labels" / f"{stem}.png", (levels(SIZE, np.uint8) % 9).astype(np.uint8))
        (tmp_path / split / "boxes").mkdir(exist_ok=True)
    (tmp_path / "train" / "boxes" / "one.txt").write_text("1 0.5 0.5 0.25 0.5\n")
    (tmp_path / "train" / "boxes" / "two.txt").touch()
    return tmp_path


def test_msrs_with_boxes(msrs: Path) -> None:
    config = MsrsConfig(labels=None, boxes="boxes")
    assert config.missing(msrs) is None
    assert config.annotations() == {"boxes"}
    table = config.classes()
    assert table is not None
    assert table.names == ("person", "bicycle", "car")
    assert config.provenance().labels == "human"
    one, two = MsrsDataset(config, msrs, "train")
    assert one.label is None
    assert one.boxes is not None
    assert one.boxes.corners.tolist() == [[15, 5, 25, 15]]
    assert two.boxes is not None
    assert len(two.boxes.classes) == 0
    with pytest.raises(DataError, match="1 of 1 scenes have no boxes: three"):
        MsrsDataset(config, msrs, "test")
    (unknown,) = MsrsDataset(MsrsConfig(labels=None, boxes="boxes", labelled="optional"), msrs, "test")
    assert unknown.boxes is not None
    assert (unknown.boxes.classes.tolist(), unknown.boxes.ignored.tolist()) == ([-1], [True])
    assert unknown.boxes.corners.tolist() == [[0, 0, 40, 20]]
    (other,) = MsrsDataset(MsrsConfig(labels=None, boxes="elsewhere", labelled="optional"), msrs, "test")
    assert other.boxes is not None
    assert other.boxes.ignored.tolist() == [True]
    assert MsrsConfig(labels=None, boxes="boxes", labelled="off").annotations() == frozenset()


def test_boxes_and_label_maps_share_the_class_table(msrs: Path) -> None:
    config = MsrsConfig(boxes="boxes", label_kind="pseudo")
    sample = MsrsDataset(config, msrs, "train")[0]
    table = config.classes()
    assert table is not None
    assert sample.boxes is not None
    assert sample.label is not None
    assert [table.names[index] for index in sample.boxes.classes.tolist()] == ["bike"]
    assert config.annotations() == {"labels", "boxes"}
    assert config.provenance().labels == "pseudo"
    assert config.provenance().note == "Only the boxes were annotated by people."


def test_options_of_boxes(msrs: Path) -> None:
    pairs = PairsConfig(boxes="{split}/boxes", box_names=["walker", "cycle"])
    sample = PairsDataset(pairs, msrs, "train")[0]
    assert sample.boxes is not None
    assert sample.boxes.classes.tolist() == [1]
    assert "{split}" not in str(pairs.missing(msrs / "nowhere"))
    assert "train/boxes/NAME.txt" in str(pairs.missing(msrs / "nowhere"))
    for options, cause in (
        ({"boxes": "{split}/boxes"}, "set box_names"),
        ({"boxes": "{split}/boxes", "box_names": ["a", "a"]}, "each once"),
        ({"boxes": "{split}/ir", "box_names": ["a"]}, "same folder"),
        ({"labels": "{split}/l", "class_names": ["sky"], "boxes": "{split}/b", "box_names": ["car"]}, "'car'"),
    ):
        with pytest.raises(ValidationError, match=cause):
            PairsConfig.model_validate(options)
    member = {"sources": {"a": "{split}/x"}, "boxes": "{split}/b", "box_names": ["car"]}
    both = CollectionConfig.model_validate({"members": [{"folder": "one", **member}, {"folder": "two", **member}]})
    assert both.annotations() == {"boxes"}


# Geometry -----------------------------------------------------------------------------------------------------------


def scene(height: int = 40, width: int = 48) -> Sample:
    """Objects that do not overlap, each with its own value in the label map."""
    corners = [(2, 3, 12, 9), (20, 1, 47, 8), (5, 20, 15, 39), (30, 25, 44, 40), (20, 12, 21, 13)]
    label = torch.zeros(height, width, dtype=torch.int64)
    for index, (left, top, right, bottom) in enumerate(corners, start=1):
        label[top:bottom, left:right] = index
    boxes = Boxes(torch.tensor(corners).float(), torch.arange(1, 6), torch.zeros(5, dtype=torch.bool))
    image = label[None].float() / 5
    return Sample("s", (image, image), label, boxes=boxes)


def check_on_objects(sample: Sample, whole: Sample) -> int:
    """Every box encloses the pixels of its object exactly; an ignored one belongs to an object that is mostly gone."""
    assert sample.label is not None
    assert sample.boxes is not None
    assert whole.label is not None
    inside = 0
    for index in range(1, 6):
        rows, columns = (sample.label == index).nonzero(as_tuple=True)
        mine = sample.boxes.classes == index
        assert bool(mine.any()) == bool(len(rows))
        if not len(rows):
            continue
        (found,) = sample.boxes.corners[mine].tolist()
        assert found == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        share = len(rows) / int((whole.label == index).sum())
        assert bool(sample.boxes.ignored[mine]) == (share < 0.3), (index, share)
        inside += 1
    return inside


def test_boxes_stay_on_their_objects() -> None:
    whole, seen = scene(), 0
    packed = pack(whole)
    random = stream(3, "boxes")
    for _ in range(60):
        top, left = int(random.integers(0, 25)), int(random.integers(0, 29))
        window = Window(top, left, int(random.integers(4, 41 - top)), int(random.integers(4, 49 - left)))
        cut = crop(whole, window)
        seen += check_on_objects(cut, whole)
        horizontal, vertical = (bool(draw) for draw in random.integers(2, size=2))
        check_on_objects(flip(cut, horizontal=horizontal, vertical=vertical), whole)
        unpacked = packed.unpack(window).boxes
        assert unpacked is not None
        assert cut.boxes is not None
        assert torch.equal(unpacked.corners, cut.boxes.corners)
    assert seen > 60
    check_on_objects(resize(whole, (80, 144)), resize(whole, (80, 144)))
    assert swap_sources(whole).boxes is whole.boxes


def test_padding_is_an_ignored_region() -> None:
    whole = scene()
    padded = reflect_pad(whole, 50)
    assert padded.boxes is not None
    assert whole.boxes is not None
    shift = torch.tensor([1.0, 5.0, 1.0, 5.0])
    assert torch.equal(padded.boxes.corners[:5], whole.boxes.corners + shift)
    covered = torch.zeros(50, 50, dtype=torch.bool)
    for left, top, right, bottom in padded.boxes.corners[5:].int().tolist():
        covered[top:bottom, left:right] = True
    inner = torch.ones(50, 50, dtype=torch.bool)
    inner[5:45, 1:49] = False
    assert torch.equal(covered, inner)
    assert padded.boxes.classes[5:].tolist() == [-1] * 4
    assert padded.boxes.ignored.tolist() == [False] * 5 + [True] * 4


class Scenes:
    """A dataset of three scenes; the last one lacks boxes if `uneven`."""

    def __init__(self, uneven: bool = False) -> None:
        self.uneven = uneven
        self.ids = ("0", "1", "2")

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Sample:
        made = scene()
        return Sample(str(index), made.images, None, boxes=None if self.uneven and index == 2 else made.boxes)


def test_batches_have_the_boxes_of_each_sample() -> None:
    sampling = SamplingSection(mode="crop", size=32, flip=True, swap=True)
    data = TrainingData(Scenes(), sampling, 3, seed=1)  # type: ignore[arg-type]
    batch = data.batch("train", 0, 0)
    assert batch.boxes is not None
    assert len(batch.boxes) == len(batch.sources[0]) == 6
    for image, boxes in zip(batch.sources[0], batch.boxes, strict=True):
        for (left, top, right, bottom), kind in zip(boxes.corners.int().tolist(), boxes.classes, strict=True):
            assert bool((image[0, top:bottom, left:right] == kind.float() / 5).all())
    moved = batch.to("cpu").boxes
    assert moved is not None
    assert torch.equal(moved[0].corners, batch.boxes[0].corners)
    uneven = TrainingData(Scenes(uneven=True), sampling, 3, seed=1)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"scene '.' has boxes, but '2' has none|scene '.' has boxes, but '.' has none"):
        uneven.batch("train", 0, 0)


def test_rendered_boxes_enclose_the_pixels_of_their_class() -> None:
    sample = Streets(StreetsConfig(train=1, height=120, width=160), None, "train", seed=5)[0]
    assert sample.boxes is not None
    assert sample.label is not None
    assert len(sample.boxes.classes) > 3
    covered = torch.zeros_like(sample.label, dtype=torch.bool)
    for (left, top, right, bottom), kind in zip(sample.boxes.corners.int().tolist(), sample.boxes.classes, strict=True):
        part = sample.label[top:bottom, left:right] == kind
        assert part[0].any()
        assert part[-1].any()
        assert part[:, 0].any()
        assert part[:, -1].any()
        covered[top:bottom, left:right] |= part
    countable = (sample.label >= 1) & (sample.label <= 3)
    assert torch.equal(covered, countable)


def test_the_boxes_of_the_shared_pairs() -> None:
    if (root := shared_data()) is None:
        pytest.skip("no folder of real image pairs (FUSEKIT_TEST_DATA)")
    reader = open_boxes(root / "msrs" / "test" / "boxes", NAMES)
    stems = [path.stem for path in (root / "msrs" / "test" / "boxes").glob("*.txt")]
    found = [reader.read(stem, (480, 640)).classes for stem in stems]
    assert torch.bincount(torch.cat(found)).tolist() == [336, 53, 153]
    assert sum(len(each) == 0 for each in found) == 11
