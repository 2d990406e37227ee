"""Lossless storage of scenes in memory, with the bit depth of their files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fusekit.data.raster import Raster
from fusekit.data.transforms import Window
from fusekit.errors import DataError
from fusekit.interfaces.dataset import Sample
from fusekit.interfaces.types import Boxes

_LEVELS = ((np.uint8, 255.0), (np.uint16, 65535.0))


@dataclass(frozen=True)
class _Plane:
    """An image as integer levels from 0 to `peak`, or as float32 with peak 1."""

    values: npt.NDArray[np.generic]
    peak: float

    def unpack(self, part: tuple[slice, slice]) -> Tensor:
        cut = self.values[(slice(None), *part)]
        return torch.from_numpy(np.ascontiguousarray(cut, dtype=np.float32) / np.float32(self.peak))


@dataclass(frozen=True)
class PackedSample:
    """A `Sample` stored as 8-bit or 16-bit levels, if these reproduce its float32 values exactly.

    An 8-bit image then takes a quarter of the memory of its float32 values. Images whose values are not such levels
    (float TIFF, resized images, other sources) stay float32.
    """

    id: str
    planes: tuple[_Plane, ...]
    label: npt.NDArray[np.generic] | None
    boxes: Boxes | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        height, width = self.planes[0].values.shape[-2:]
        return height, width

    @property
    def nbytes(self) -> int:
        """Memory in bytes."""
        label = 0 if self.label is None else self.label.nbytes
        return label + sum(plane.values.nbytes for plane in self.planes)

    def unpack(self, window: Window | None = None) -> Sample:
        """The original sample, bit for bit, or the part of it inside a window."""
        part, boxes = (slice(None), slice(None)), self.boxes
        if window is not None:
            rows = slice(window.top, window.top + window.height)
            part = (rows, slice(window.left, window.left + window.width))
            boxes = boxes and window.of(boxes)
        label = None if self.label is None else torch.from_numpy(self.label[part].astype(np.int64))
        return Sample(self.id, tuple(plane.unpack(part) for plane in self.planes), label, boxes=boxes)


def as_raster(image: Tensor) -> Raster:
    """Converts an image (1 or 3, H, W) in [0, 1] to a raster with the lowest bit depth that keeps its values."""
    plane = _pack(image.numpy())
    pixels = plane.values[0] if len(plane.values) == 1 else plane.values.transpose(1, 2, 0)
    return Raster(np.ascontiguousarray(pixels), plane.peak)


def pack(sample: Sample) -> PackedSample:
    """Packs a sample.

    Raises:
        DataError: The dataset violates its contract: no images, wrong or different shapes, or not float32.
    """
    _check(sample)
    label: npt.NDArray[np.generic] | None = None
    if sample.label is not None:
        label = sample.label.numpy()
        small = label.astype(np.uint8)
        if np.array_equal(small, label):
            label = small
    return PackedSample(sample.id, tuple(_pack(image.numpy()) for image in sample.images), label, sample.boxes)


def _pack(values: npt.NDArray[np.float32]) -> _Plane:
    with np.errstate(invalid="ignore"):  # NaN has no level; the comparison below then fails
        for dtype, peak in _LEVELS:
            levels = np.rint(values * np.float32(peak)).clip(0, peak).astype(dtype)
            if np.array_equal(levels.astype(np.float32) / np.float32(peak), values):
                return _Plane(levels, peak)
    return _Plane(values, 1.0)


def _check(sample: Sample) -> None:
    shapes = [tuple(image.shape) for image in sample.images]
    sizes = {shape[-2:] for shape in shapes} | ({tuple(sample.label.shape)} if sample.label is not None else set())
    valid = shapes and len(sizes) == 1 and all(len(shape) == 3 and shape[0] in (1, 3) for shape in shapes)
    if not valid or any(image.dtype != torch.float32 for image in sample.images):
        dtypes = sorted({str(image.dtype) for image in sample.images})
        label = "" if sample.label is None else f", label map {tuple(sample.label.shape)}"
        raise DataError(
            f"scene {sample.id!r}: the dataset returned images {shapes} {', '.join(dtypes)}{label}; images must be "
            "(1 or 3, H, W) float32, all of the same size"
        )
