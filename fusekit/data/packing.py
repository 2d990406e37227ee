"""Scenes in memory at the size they have on disk, without losing a bit."""

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

_LEVELS = ((np.uint8, 255.0), (np.uint16, 65535.0))


@dataclass(frozen=True)
class _Plane:
    """An image as integer levels out of `peak`, or as float32 with peak 1."""

    values: npt.NDArray[np.generic]
    peak: float

    def unpack(self, part: tuple[slice, slice]) -> Tensor:
        cut = self.values[(slice(None), *part)]
        return torch.from_numpy(np.ascontiguousarray(cut, dtype=np.float32) / np.float32(self.peak))


@dataclass(frozen=True)
class PackedSample:
    """A `Sample` as 8-bit or 16-bit levels where these give back its float32 values exactly.

    An 8-bit file takes a quarter of the memory that its float32 image takes. Images whose values are no such
    levels (float TIFF, resized, made by a third party) stay float32.
    """

    id: str
    planes: tuple[_Plane, ...]
    label: npt.NDArray[np.generic] | None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        height, width = self.planes[0].values.shape[-2:]
        return height, width

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        label = 0 if self.label is None else self.label.nbytes
        return label + sum(plane.values.nbytes for plane in self.planes)

    def unpack(self, window: Window | None = None) -> Sample:
        """The sample, bit for bit as it was packed, or the part of it inside a window."""
        part = (slice(None), slice(None))
        if window is not None:
            rows = slice(window.top, window.top + window.height)
            part = (rows, slice(window.left, window.left + window.width))
        label = None if self.label is None else torch.from_numpy(self.label[part].astype(np.int64))
        return Sample(self.id, tuple(plane.unpack(part) for plane in self.planes), label)


def as_raster(image: Tensor) -> Raster:
    """An image (1 or 3, H, W) in [0, 1] as a file would hold it: with the lowest bit depth that keeps its values."""
    plane = _pack(image.numpy())
    pixels = plane.values[0] if len(plane.values) == 1 else plane.values.transpose(1, 2, 0)
    return Raster(np.ascontiguousarray(pixels), plane.peak)


def pack(sample: Sample) -> PackedSample:
    """Packs a sample.

    Raises:
        DataError: The dataset broke its contract: no images, images of other shapes or sizes, not float32.
    """
    _check(sample)
    label: npt.NDArray[np.generic] | None = None
    if sample.label is not None:
        label = sample.label.numpy()
        small = label.astype(np.uint8)
        if np.array_equal(small, label):
            label = small
    return PackedSample(sample.id, tuple(_pack(image.numpy()) for image in sample.images), label)


def _pack(values: npt.NDArray[np.float32]) -> _Plane:
    with np.errstate(invalid="ignore"):  # NaN has no level; the comparison below then says so
        for dtype, peak in _LEVELS:
            levels = np.rint(values * np.float32(peak)).clip(0, peak).astype(dtype)
            if np.array_equal(levels.astype(np.float32) / np.float32(peak), values):
                return _Plane(levels, peak)
    return _Plane(values, 1.0)


def _check(sample: Sample) -> None:
    shapes = [tuple(image.shape) for image in sample.images]
    sizes = {shape[-2:] for shape in shapes} | ({tuple(sample.label.shape)} if sample.label is not None else set())
    right = shapes and len(sizes) == 1 and all(len(shape) == 3 and shape[0] in (1, 3) for shape in shapes)
    if not right or any(image.dtype != torch.float32 for image in sample.images):
        dtypes = sorted({str(image.dtype) for image in sample.images})
        label = "" if sample.label is None else f", label map {tuple(sample.label.shape)}"
        raise DataError(
            f"scene {sample.id!r}: the dataset gave images {shapes} {', '.join(dtypes)}{label}; images are "
            "(1 or 3, H, W) float32, all of one size"
        )
