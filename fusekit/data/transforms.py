"""Geometric transforms, applied in the same way to every source of a scene, its label map and its boxes.

Each takes a `Sample` and returns a new one. Random transforms draw from a generator that the caller passes, so that
the result depends on nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from fusekit.errors import DataError
from fusekit.interfaces.dataset import Sample
from fusekit.interfaces.types import Boxes


@dataclass(frozen=True)
class Window:
    """A rectangle of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, boxes: Boxes) -> Boxes:
        """The boxes that are at least partly inside, in its coordinates."""
        return boxes.moved((1, 1), (-self.left, -self.top), (self.height, self.width))


def sample_size(sample: Sample) -> tuple[int, int]:
    """Size of a scene, (height, width)."""
    height, width = sample.images[0].shape[-2:]
    return height, width


def crop(sample: Sample, window: Window) -> Sample:
    """Crops a scene to a window, which must be inside the scene."""
    rows = slice(window.top, window.top + window.height)
    columns = slice(window.left, window.left + window.width)
    return _everywhere(sample, lambda plane: plane[..., rows, columns], window.of)


def random_window(height: int, width: int, size: int, random: np.random.Generator) -> Window:
    """A square window at a uniformly random position inside (height, width)."""
    top = int(random.integers(height - size + 1))
    left = int(random.integers(width - size + 1))
    return Window(top, left, size, size)


def flip(sample: Sample, *, horizontal: bool, vertical: bool) -> Sample:
    """Mirrors a scene left to right, top to bottom, or both."""
    axes = [axis for axis, wanted in ((-1, horizontal), (-2, vertical)) if wanted]
    (height, width), scale = sample_size(sample), (1 - 2 * horizontal, 1 - 2 * vertical)
    move = partial(Boxes.moved, scale=scale, shift=(width * horizontal, height * vertical), size=(height, width))
    return _everywhere(sample, lambda plane: plane.flip(axes), move) if axes else sample


def random_flip(sample: Sample, random: np.random.Generator) -> Sample:
    """Applies each of the two flips with probability one half."""
    horizontal, vertical = (bool(draw) for draw in random.integers(2, size=2))
    return flip(sample, horizontal=horizontal, vertical=vertical)


def resize(sample: Sample, size: tuple[int, int]) -> Sample:
    """Resizes a scene to (height, width): images bilinear with antialiasing, the label map by nearest neighbour."""
    if sample_size(sample) == size:
        return sample
    images = tuple(
        interpolate(image[None], size, mode="bilinear", antialias=True, align_corners=False)[0].clamp(0, 1)
        for image in sample.images
    )
    label = sample.label
    if label is not None:
        rows = _nearest(label.shape[0], size[0])
        columns = _nearest(label.shape[1], size[1])
        label = label[rows][:, columns]
    height, width = sample_size(sample)
    boxes = sample.boxes and sample.boxes.moved((size[1] / width, size[0] / height), (0, 0), size)
    return replace(sample, images=images, label=label, boxes=boxes)


def reflect_pad(sample: Sample, size: int) -> Sample:
    """Reflection padding until both sides are at least `size`; larger sides are not changed.

    Boxes are not reflected: the padding is an ignored region of all classes.

    Raises:
        DataError: A side is shorter than half of `size`: most of the sample would be reflections.
    """
    height, width = sample_size(sample)
    if min(height, width) >= size:
        return sample
    if 2 * min(height, width) < size:
        raise DataError(
            f"scene {sample.id!r} is {height}x{width} (height x width), less than half of the {size} pixels "
            "of a training sample",
            hint="Lower train.sampling.size, or set train.sampling.resize.",
        )
    rows, columns = _reflected(height, max(height, size)), _reflected(width, max(width, size))
    move = partial(_padded, height=height, width=width, size=size)
    return _everywhere(sample, lambda plane: plane[..., rows, :][..., columns], move)


def swap_sources(sample: Sample) -> Sample:
    """The same scene with its sources in reversed order."""
    return replace(sample, images=sample.images[::-1])


def _everywhere(sample: Sample, change: Callable[[Tensor], Tensor], move: Callable[[Boxes], Boxes]) -> Sample:
    label = None if sample.label is None else change(sample.label)
    boxes = None if sample.boxes is None else move(sample.boxes)
    return replace(sample, images=tuple(change(image) for image in sample.images), label=label, boxes=boxes)


def _padded(boxes: Boxes, height: int, width: int, size: int) -> Boxes:
    tall, wide = max(height, size), max(width, size)
    top, left = (tall - height) // 2, (wide - width) // 2
    frame = [(0, 0, wide, top), (0, top + height, wide, tall), (0, 0, left, tall), (left + width, 0, wide, tall)]
    frame = [edge for edge in frame if edge[0] < edge[2] and edge[1] < edge[3]]
    inside = boxes.moved((1, 1), (left, top), (tall, wide))
    classes, ignored = pad(inside.classes, (0, len(frame)), value=-1), pad(inside.ignored, (0, len(frame)), value=1)
    return Boxes(torch.cat([inside.corners, inside.corners.new_tensor(frame)]), classes, ignored)


def _nearest(old: int, new: int) -> Tensor:
    # The source pixel at the centre, floor((i + 1/2) · old / new) in integers: the one at the corner would shift
    # the label map relative to the images.
    return (2 * torch.arange(new) + 1) * old // (2 * new)


def _reflected(old: int, new: int) -> Tensor:
    before = (new - old) // 2
    index = torch.arange(-before, new - before).abs()
    return torch.where(index < old, index, 2 * (old - 1) - index)
