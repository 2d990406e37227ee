"""Average precision: known answers, and equality with COCO's reference implementation."""

from __future__ import annotations

import contextlib
import io
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from fusekit.evaluation.detection import AveragePrecision, FrozenDetection, detect, detection_table
from fusekit.interfaces import Boxes, BuildContext, DetectionNetwork, Detections
from tests.networks import class_table

CLASSES = 4


def boxes(*rows: tuple[float, float, float, float, int], ignored: tuple[int, ...] = ()) -> Boxes:
    return Boxes(
        torch.tensor([row[:4] for row in rows]).float().view(-1, 4),
        torch.tensor([row[4] for row in rows], dtype=torch.int64),
        torch.tensor([index in ignored for index in range(len(rows))], dtype=torch.bool),
    )


def found(*rows: tuple[float, float, float, float, int, float]) -> Detections:
    values = torch.tensor([row[:4] for row in rows], dtype=torch.float64).view(-1, 4)
    kinds = torch.tensor([row[4] for row in rows], dtype=torch.int64)
    return Detections(values, kinds, torch.tensor([row[5] for row in rows], dtype=torch.float64))


def test_known_answers() -> None:
    scores = AveragePrecision(3)
    # Class 0: two objects; the most certain detection is a hit, the second one a miss, the third one a hit.
    scores.add(
        found((0, 0, 10, 10, 0, 0.9), (50, 50, 60, 60, 0, 0.8), (20, 0, 30, 8, 0, 0.7), (0, 0, 9, 9, 2, 0.6)),
        boxes((0, 0, 10, 10, 0), (20, 0, 30, 10, 0)),
    )
    # Class 1: found in an image, but not the object of the other one.
    scores.add(found((5, 5, 9, 9, 1, 0.4)), boxes((5, 5, 9, 9, 1), (0, 0, 3, 3, 1)))
    # Precision 1 up to recall 0.5 (51 of 101 levels), then 2/3; the second hit has IoU 0.8, so it counts up to 0.8.
    low, high = (51 + 50 * 2 / 3) / 101, 51 / 101
    assert scores.per_class(0.5)[:2] == pytest.approx([low, 51 / 101])
    assert scores.per_class()[0] == pytest.approx((7 * low + 3 * high) / 10)
    assert math.isnan(scores.per_class(0.5)[2]), "a class without objects is undefined, whatever was found"
    assert scores.mean(0.5) == pytest.approx((low + 51 / 101) / 2)
    assert scores.objects() == [2, 2, 0]
    assert math.isnan(AveragePrecision(2).mean())


def test_ignored_boxes_are_neither_hits_nor_misses() -> None:
    annotated = boxes((0, 0, 10, 10, 0), (20, 20, 60, 60, -1), ignored=(1,))
    certain = found((21, 21, 25, 25, 0, 0.9), (30, 30, 35, 35, 0, 0.8), (0, 0, 10, 10, 0, 0.7))
    scores = AveragePrecision(1)
    scores.add(certain, annotated)
    assert scores.mean() == 1.0
    scores = AveragePrecision(1)
    scores.add(certain, boxes((0, 0, 10, 10, 0)))
    assert scores.mean() == pytest.approx(1 / 3)


def reference(images: list[tuple[Detections, Boxes]]) -> npt.NDArray[np.float64]:
    """AP of each class and threshold by pycocotools."""
    coco_api = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    objects: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []

    def corner_and_size(corners: list[float]) -> list[float]:
        left, top, right, bottom = corners
        return [left, top, right - left, bottom - top]

    for image, (detections, annotated) in enumerate(images, start=1):
        rows = zip(annotated.corners.tolist(), annotated.classes.tolist(), annotated.ignored.tolist(), strict=True)
        for corners, label, crowd in rows:
            for category in range(CLASSES) if label < 0 else [label]:
                box = corner_and_size(corners)
                more = {"bbox": box, "area": box[2] * box[3], "iscrowd": int(crowd)}
                objects.append({"id": len(objects) + 1, "image_id": image, "category_id": category, **more})
        rows = zip(detections.corners.tolist(), detections.classes.tolist(), detections.scores.tolist(), strict=True)
        for corners, label, score in rows:
            more = {"bbox": corner_and_size(corners), "score": score}
            results.append({"image_id": image, "category_id": label, **more})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = coco_api.COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": image + 1} for image in range(len(images))],
            "categories": [{"id": category} for category in range(CLASSES)],
            "annotations": objects,
        }
        coco.createIndex()
        evaluated = evaluation.COCOeval(coco, coco.loadRes(results), "bbox")
        evaluated.evaluate()
        evaluated.accumulate()
    precision = evaluated.eval["precision"][:, :, :, 0, 2].mean(axis=1).T  # thresholds, recalls, classes, areas, limits
    return np.where(precision < 0, np.nan, precision)


def random_image(random: np.random.Generator, many: bool, ties: bool) -> tuple[Detections, Boxes]:
    count, more = int(random.integers(0, 7)), 250 if many else int(random.integers(1, 20))
    corner, size = random.uniform(0, 60, (count, 2)), random.uniform(4, 40, (count, 2))
    true = np.hstack([corner, corner + size])
    kinds, crowd = random.integers(0, CLASSES - 1, count), random.random(count) < 0.25
    kinds = np.where(crowd & (random.random(count) < 0.3), -1, kinds)
    anywhere = random.uniform(0, 9, (more, 4)) + np.array([0, 0, 20, 20])
    near = true[random.integers(0, count, more)] if count else anywhere
    near = near + random.normal(0, 3, (more, 4))
    near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
    scores = random.integers(0, 10, more) / 10 if ties else random.random(more)
    order = np.argsort(-scores, kind="stable")
    labels = random.integers(0, CLASSES, more)[order]
    return (
        Detections(torch.tensor(near[order]), torch.tensor(labels), torch.tensor(scores[order])),
        Boxes(torch.tensor(true).view(-1, 4), torch.tensor(kinds), torch.tensor(crowd)),
    )


@pytest.mark.parametrize("seed", range(12))
def test_it_equals_the_reference_implementation(seed: int) -> None:
    """Also with ignored boxes, equal scores and more than 100 detections of a class."""
    random = np.random.default_rng(seed)
    images = [random_image(random, many=seed % 4 == 0, ties=seed % 2 == 1) for _ in range(int(random.integers(1, 7)))]
    scores = AveragePrecision(CLASSES)
    for image in images:
        scores.add(*image)
    np.testing.assert_allclose(scores.table(), reference(images), rtol=0, atol=1e-9)


class Bright(DetectionNetwork):
    """Finds one object of class 1: the pixels brighter than a half, and four pixels more on each side."""

    def forward(self, image: Tensor) -> Tensor:
        return image[:, :1]

    def loss(self, logits: Tensor, target: Any) -> Tensor:
        raise NotImplementedError

    def predict(self, logits: Tensor) -> tuple[Detections, ...]:
        every = []
        for image in logits[:, 0]:
            rows, columns = (image > 0.5).nonzero(as_tuple=True)
            if len(rows):
                sides = (columns.min() - 4, rows.min() - 4, columns.max() + 5, rows.max() + 5)
                every.append(found((*(float(side) for side in sides), 1, 0.9)))
            else:
                every.append(found())
        return tuple(every)


def test_the_frozen_protocol_detects_in_every_methods_image() -> None:
    task = Bright(None, BuildContext(classes=class_table(3)))
    shown, hidden = torch.zeros(20, 30, dtype=torch.uint8), torch.zeros(20, 30, dtype=torch.uint8)
    shown[:12, :16] = 200
    assert detect(task, shown).corners.tolist() == [[0, 0, 20, 16]], "cut at the border of the image"
    annotated = boxes((0, 0, 20, 16, 1))
    protocol = FrozenDetection(task, [("ours", True), ("dark", False)])
    assert protocol.to_plain() is None
    protocol.add_scene([shown, hidden], annotated)
    plain = protocol.to_plain()
    assert plain is not None
    assert [(row["input"], row["is_model"], row["ap50"], row["ap"]) for row in plain["rows"]] == [
        ("ours", True, 1.0, 1.0),
        ("dark", False, 0.0, 0.0),
    ]
    assert plain["objects"] == [0, 1, 0]
    assert plain["rows"][0]["ap50_per_class"] == [None, 1.0, None]
    table = detection_table(task, [shown, hidden], [annotated, annotated])
    assert table["ap50"] == pytest.approx(51 / 101)
    with pytest.raises(ValueError, match="shorter"):
        detection_table(task, [shown, hidden], [annotated])
