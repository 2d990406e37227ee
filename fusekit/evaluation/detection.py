"""Average precision of detections, and the frozen protocol for a detector: one network on every method's results.

The definition is that of COCO: ten thresholds of the intersection over union (IoU) from 0.5 to 0.95, precision at 101
recall levels, at most 100 detections of a class in an image, ignored boxes neither hits nor misses. It is implemented
here because its reference implementation, pycocotools, is compiled and must not be required by every run; the tests
compare the two (Lin et al., Microsoft COCO, arXiv 1405.0312; cocodataset.org/#detection-eval).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fusekit.interfaces.task import DetectionNetwork
from fusekit.interfaces.types import Boxes, Detections

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

THRESHOLDS: Floats = np.linspace(0.5, 0.95, 10)
RECALLS: Floats = np.linspace(0.0, 1.0, 101)
MOST = 100
"""Largest number of detections of a class that are counted in an image, the most certain ones."""

FROZEN_PROTOCOL = (
    "Frozen: a single network, the one of this run, detects objects in the luminance of every method's result. "
    "AP is the mean over IoU thresholds from 0.5 to 0.95, AP50 that at 0.5, both over the whole set as COCO defines "
    "them; means leave out classes without any object."
)


@dataclass
class _Matches:
    """Detections of one class over the set, and the number of objects to find."""

    scores: list[Floats] = field(default_factory=list)
    hits: list[Bools] = field(default_factory=list)  # (10, M) per image
    ignored: list[Bools] = field(default_factory=list)
    objects: int = 0


class AveragePrecision:
    """Average precision over a set of images.

    Args:
        classes: Number of classes K.
    """

    def __init__(self, classes: int) -> None:
        self.images = 0
        self._classes = [_Matches() for _ in range(classes)]

    def add(self, found: Detections, boxes: Boxes) -> None:
        """Adds an image: what was found in it, and what is annotated."""
        self.images += 1
        corners, labels = found.corners.double().cpu().numpy(), found.classes.cpu().numpy()
        scores = found.scores.double().cpu().numpy()
        true, kinds, ignored = boxes.corners.double().cpu().numpy(), boxes.classes.cpu().numpy(), boxes.ignored.cpu()
        for index, matches in enumerate(self._classes):
            mine = np.flatnonzero(labels == index)
            mine = mine[np.argsort(-scores[mine], kind="stable")][:MOST]
            theirs = (kinds == index) | (kinds < 0)
            left_out = ignored.numpy()[theirs]
            hits, skipped = match(corners[mine], true[theirs], left_out)
            matches.scores.append(scores[mine])
            matches.hits.append(hits)
            matches.ignored.append(skipped)
            matches.objects += int((~left_out).sum())

    def objects(self) -> list[int]:
        """Number of annotated objects of each class; ignored ones are not counted."""
        return [matches.objects for matches in self._classes]

    def table(self) -> Floats:
        """Average precision of each class at each IoU threshold, (K, 10) in [0, 1]; NaN for classes without objects."""
        return np.stack([_precision(matches) for matches in self._classes])

    def per_class(self, threshold: float | None = None) -> list[float]:
        """Average precision of each class: at one IoU threshold, or the mean over all of them."""
        table = self.table()
        if threshold is None:
            return [float(value) for value in table.mean(axis=1)]
        return [float(value) for value in table[:, int(np.abs(THRESHOLDS - threshold).argmin())]]

    def mean(self, threshold: float | None = None) -> float:
        """Mean of `per_class` over the classes that have objects; NaN if none has."""
        defined = [value for value in self.per_class(threshold) if not math.isnan(value)]
        return math.fsum(defined) / len(defined) if defined else math.nan


def match(found: Floats, true: Floats, ignored: Bools) -> tuple[Bools, Bools]:
    """Assigns detections to boxes of one class in one image, the most certain first.

    Each detection gets the free box with the largest IoU, if that reaches the threshold. Otherwise it can be assigned
    to an ignored box, which takes any number of detections; for those, the share of the detection that is inside counts
    instead of the IoU.

    Args:
        found: Corners of the detections, (M, 4), the most certain first.
        true: Corners of the boxes, (G, 4).
        ignored: (G,).

    Returns:
        Whether each detection is a hit, and whether it is left out, each (10, M).
    """
    order = np.argsort(ignored, kind="stable")
    true, ignored = true[order], ignored[order]
    shares = overlaps(found, true, ignored)
    hits = np.zeros((len(THRESHOLDS), len(found)), dtype=bool)
    left_out = np.zeros_like(hits)
    taken = np.zeros((len(THRESHOLDS), len(true)), dtype=bool)
    each = np.arange(len(THRESHOLDS))
    if not len(true):
        return hits, left_out
    for number, share in enumerate(shares):
        enough = share >= THRESHOLDS[:, None]
        for candidates, into in ((enough & ~taken & ~ignored, hits), (enough & ignored, left_out)):
            # The last of equal ones, as in the reference implementation.
            best = len(true) - 1 - np.where(candidates, share, -1.0)[:, ::-1].argmax(axis=1)
            chosen = candidates[each, best] & ~hits[:, number]
            into[chosen, number] = True
            taken[each[chosen], best[chosen]] = True
    return hits, left_out


def overlaps(found: Floats, true: Floats, ignored: Bools) -> Floats:
    """IoU of detections and boxes, (M, G); for ignored boxes the share of the detection that is inside.

    Args:
        found: Corners, (M, 4).
        true: Corners, (G, 4).
        ignored: (G,).
    """
    low = np.maximum(found[:, None, :2], true[None, :, :2])
    high = np.minimum(found[:, None, 2:], true[None, :, 2:])
    shared = (high - low).clip(min=0).prod(axis=2)
    area, other = (found[:, 2:] - found[:, :2]).prod(axis=1), (true[:, 2:] - true[:, :2]).prod(axis=1)
    union = np.where(ignored, area[:, None], area[:, None] + other - shared)
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _precision(matches: _Matches) -> Floats:
    """Average precision at each threshold, (10,): the mean of the precision at 101 recalls, NaN without objects."""
    if not matches.objects:
        return np.full(len(THRESHOLDS), math.nan)
    order = np.argsort(-np.concatenate(matches.scores), kind="stable")
    hits = np.concatenate(matches.hits, axis=1)[:, order]
    wrong = ~hits & ~np.concatenate(matches.ignored, axis=1)[:, order]
    true, false = hits.cumsum(axis=1), wrong.cumsum(axis=1)
    precision = true / np.maximum(true + false, np.spacing(1.0))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]  # the best at this recall or a higher one
    values = np.zeros(len(THRESHOLDS))
    for row, recall in enumerate(true / matches.objects):
        place = np.searchsorted(recall, RECALLS, side="left")
        reached = place < len(recall)
        values[row] = precision[row, place[reached]].sum() / len(RECALLS)
    return values


def detect(task: DetectionNetwork, grey: Tensor, device: torch.device | str = "cpu") -> Detections:
    """The objects that a detector finds in a grey image, with boxes cut at its borders.

    Args:
        task: The detector, in evaluation mode.
        grey: (H, W) uint8, as metrics take it.
        device: Device of the detector.
    """
    height, width = grey.shape
    with torch.no_grad():
        (found,) = task.predict(task(grey[None, None].to(device).float() / 255.0))
    corners = found.corners.cpu().float()
    corners = torch.minimum(corners.clamp_min(0), corners.new_tensor([width, height, width, height]))
    return Detections(corners, found.classes.cpu(), found.scores.cpu())


class FrozenDetection:
    """The frozen protocol: average precision of one detector on the results of several methods.

    Args:
        task: The detector, in evaluation mode.
        methods: Name of each method, and whether it is the model of the run.
        device: Device of the detector.
    """

    def __init__(
        self, task: DetectionNetwork, methods: Sequence[tuple[str, bool]], device: torch.device | str = "cpu"
    ) -> None:
        self.task = task
        self.device = device
        self.methods = list(methods)
        self.scores = [AveragePrecision(len(task.classes)) for _ in methods]

    def add_scene(self, results: Iterable[Tensor], boxes: Boxes) -> None:
        """Adds the results of all methods on a scene.

        Args:
            results: Grey image of each method, in order, (H, W) uint8.
            boxes: The annotated objects of the scene.
        """
        for scores, grey in zip(self.scores, results, strict=True):
            scores.add(detect(self.task, grey, self.device), boxes)

    def to_plain(self) -> dict[str, Any] | None:
        """The table as plain data for JSON, with None for NaN; None if there are no scenes."""
        if not self.scores or not self.scores[0].images:
            return None
        return {
            "kind": "detection",
            "protocol": FROZEN_PROTOCOL,
            "classes": self.task.classes.to_plain(),
            "images": self.scores[0].images,
            "objects": self.scores[0].objects(),
            "rows": [
                {"input": name, "is_model": is_model, **scores_plain(scores)}
                for (name, is_model), scores in zip(self.methods, self.scores, strict=True)
            ],
        }


def detection_table(
    task: DetectionNetwork, images: Sequence[Tensor], boxes: Sequence[Boxes], device: torch.device | str = "cpu"
) -> dict[str, Any]:
    """Average precision of a detector on a set of images, as plain data.

    Args:
        task: The detector, in evaluation mode.
        images: Grey images, (H, W) uint8, such as `grey8` makes.
        boxes: The annotated objects of each image.
        device: Device of the detector.

    Returns:
        ``ap50``, ``ap``, ``ap50_per_class``, ``ap_per_class`` in [0, 1], None for what is undefined.
    """
    scores = AveragePrecision(len(task.classes))
    for image, annotated in zip(images, boxes, strict=True):
        scores.add(detect(task, image, device), annotated)
    return scores_plain(scores)


def scores_plain(scores: AveragePrecision) -> dict[str, Any]:
    """AP50 and AP, over the classes and of each, as plain data; see `detection_table`."""
    return {
        "ap50": _plain(scores.mean(0.5)),
        "ap": _plain(scores.mean()),
        "ap50_per_class": [_plain(value) for value in scores.per_class(0.5)],
        "ap_per_class": [_plain(value) for value in scores.per_class()],
    }


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value
