"""The images of one scene: checks, reading in the form that a backbone takes, and storing the fused result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fusekit.data.colour import is_grey, luminance
from fusekit.data.image_writing import to_levels
from fusekit.data.raster import MIN_SIDE, Raster
from fusekit.errors import DataError
from fusekit.fusing.tiling.boxes import Box
from fusekit.interfaces.types import Sources
from fusekit.model.system import FusionSystem
from fusekit.recipe.fuse_options import FuseOptions

SIZE_HINT = (
    "sources must be registered to each other, pixel by pixel; fusekit fuse --align shift registers one to the other"
)

_DEPTHS: tuple[type[np.generic], ...] = (np.uint8, np.uint16, np.float32)  # from the lowest to the highest

Image = TypeVar("Image", Raster, Tensor)
Options = TypeVar("Options", bound=FuseOptions)


class Scene(ABC, Generic[Image]):
    """The images of one scene, read box by box, and the storage of the fused result."""

    sizes: Sequence[tuple[int, int]]
    """(height, width) of each source."""

    floating: bool = True
    """Whether values may be NaN or infinite; integers cannot."""

    @abstractmethod
    def coloured(self) -> list[bool]:
        """For each source, whether it is in colour."""

    @abstractmethod
    def read(self, box: Box) -> list[Tensor]:
        """The sources' values in a box, each (B, 1 or 3, h, w) float32 in [0, 1]."""

    @abstractmethod
    def begin(self, channels: int) -> None:
        """Allocates a result with this number of channels."""

    @abstractmethod
    def put(self, box: Box, values: Tensor, channel: int | None = None) -> None:
        """Stores the values (B, C, h, w) in [0, 1] of a box, of all channels or of one."""

    @abstractmethod
    def result(self) -> Image:
        """The stored result."""

    @property
    def batch(self) -> int:
        """Number of scenes of one size that are fused together."""
        return 1

    @property
    def box(self) -> Box:
        """The whole image."""
        return Box(0, 0, *self.sizes[0])

    def as_given(self, values: Tensor) -> Tensor:
        """Values (B, C, H, W) in the layout of the images."""
        return values[0]


class RasterScene(Scene[Raster]):
    """Rasters, fused into a raster of their bit depth.

    Images fused in tiles are never held in floating point: each tile is converted, fused, coloured and rounded on its
    own.

    Args:
        rasters: One per source.
        bit_depth: Bit depth of the result; see `FuseOptions`.
        out: Array for the result's pixels, with its shape and dtype.
        buffers: Buffer for the values of each source, (1 or 3, H, W), for images that are fused whole.
    """

    def __init__(
        self,
        rasters: Sequence[Raster],
        bit_depth: Literal["keep", 8, 16] = "keep",
        *,
        out: npt.NDArray[np.generic] | None = None,
        buffers: Sequence[npt.NDArray[np.float32]] | None = None,
    ) -> None:
        self.rasters = rasters
        self.sizes = [raster.size for raster in rasters]
        self.floating = any(raster.pixels.dtype.kind == "f" for raster in rasters)
        self.dtype = depth_of(rasters, bit_depth) if rasters else np.dtype(np.uint8)
        self._out = out
        self._buffers = buffers

    def coloured(self) -> list[bool]:
        return [in_colour(raster) for raster in self.rasters]

    def read(self, box: Box) -> list[Tensor]:
        outs = self._buffers if self._buffers and box == self.box else [None] * len(self.rasters)
        rows, columns = slice(box.top, box.bottom), slice(box.left, box.right)
        return [
            torch.from_numpy(raster.values(rows, columns, out=out))[None]
            for raster, out in zip(self.rasters, outs, strict=True)
        ]

    def begin(self, channels: int) -> None:
        if self._out is None:
            shape = self.sizes[0] if channels == 1 else (*self.sizes[0], channels)
            self._out = np.empty(shape, self.dtype)

    def put(self, box: Box, values: Tensor, channel: int | None = None) -> None:
        assert self._out is not None
        place = self._out[box.top : box.bottom, box.left : box.right]
        if channel is not None:
            place = place[..., channel]
        place[...] = to_levels(values[0], self.dtype)

    def result(self) -> Raster:
        """The fused raster. If sources have alpha, its alpha is the smallest of theirs."""
        assert self._out is not None
        peak = 1.0 if self.dtype.kind == "f" else float(np.iinfo(self.dtype).max)  # type: ignore[type-var]
        return Raster(self._out, peak, self._alpha())

    def _alpha(self) -> npt.NDArray[np.generic] | None:
        """The smallest alpha of the sources that have any: a pixel is as opaque as its least opaque source."""
        given = [np.asarray(r.alpha, np.float32) / np.float32(r.peak) for r in self.rasters if r.alpha is not None]
        if not given:
            return None
        return to_levels(torch.from_numpy(np.minimum.reduce(given))[None], self.dtype)


class TensorScene(Scene[Tensor]):
    """Tensors, fused into a tensor of their layout, on the host.

    Args:
        images: One per source, (1 or 3, H, W) or (B, 1 or 3, H, W) in [0, 1], all with the same number of dimensions.
    """

    def __init__(self, images: Sequence[Tensor]) -> None:
        self.sizes = [(image.shape[-2], image.shape[-1]) for image in images]
        self.images = [image.detach().float().reshape(-1, *image.shape[-3:]) for image in images]
        self.batched = bool(images) and images[0].ndim == 4
        self._out = torch.empty(0)

    @property
    def batch(self) -> int:
        return len(self.images[0])

    def split(self, count: int) -> list[TensorScene]:
        """The scenes in batches of `count`."""
        return [TensorScene(part) for part in zip(*(image.split(count) for image in self.images), strict=True)]

    def coloured(self) -> list[bool]:
        return [not is_grey(image) for image in self.images]

    def read(self, box: Box) -> list[Tensor]:
        return [box.of(image) for image in self.images]

    def begin(self, channels: int) -> None:
        self._out = torch.empty(self.batch, channels, *self.sizes[0])

    def put(self, box: Box, values: Tensor, channel: int | None = None) -> None:
        place = self._out if channel is None else self._out[:, channel : channel + 1]
        box.of(place).copy_(values)

    def result(self) -> Tensor:
        return self.as_given(self._out)

    def as_given(self, values: Tensor) -> Tensor:
        return values if self.batched else values[0]


def role_names(system: FusionSystem, count: int) -> tuple[str, ...]:
    """Roles of `count` sources; ``a``, ``b``, … if the model has no roles."""
    return system.roles or tuple("abcdefghijklmnopqrstuvwxyz"[:count])


def check_count(system: FusionSystem, count: int) -> None:
    """Checks the number of sources.

    Raises:
        DataError: The system takes another number.
    """
    wanted = len(system.roles) or system.backbone.source_count or count
    if count != wanted or count == 0:
        roles = f" ({', '.join(system.roles)})" if system.roles else ""
        raise DataError(f"the model fuses {wanted or 'one or more'} sources{roles}, got {count}")


def check_sizes(sizes: Sequence[tuple[int, int]]) -> None:
    """Checks the (height, width) of the sources.

    Raises:
        DataError: Sizes differ, or are too small.
    """
    if len(set(sizes)) > 1:
        shown = ", ".join(f"{w}x{h}" for h, w in sizes)
        raise DataError(f"the sources differ in size: {shown}", hint=SIZE_HINT)
    if min(sizes[0]) < MIN_SIDE:
        raise DataError(f"images of {sizes[0][1]}x{sizes[0][0]} are too small; the minimum is {MIN_SIDE}x{MIN_SIDE}")


def check_finite(system: FusionSystem, images: Sequence[Tensor]) -> None:
    """Checks that all values are finite.

    Raises:
        DataError: A source, which the message names, has NaN or infinite values.
    """
    for role, image in zip(role_names(system, len(images)), images, strict=True):
        if not bool(torch.isfinite(image).all()):
            raise DataError(f"the {role} image contains NaN or infinite values")


def as_sources(images: Sequence[Tensor], colour: str, device: torch.device | str = "cpu") -> Sources:
    """Images in the form that a backbone takes: luminance, or RGB with grey repeated; each (B, C, H, W).

    Args:
        images: One per source, (1 or 3, H, W) or (B, 1 or 3, H, W) in [0, 1], of one size.
        colour: The backbone's ``colour``.
        device: Device to which they are moved.
    """
    batches = [image[None] if image.ndim == 3 else image for image in images]
    convert = luminance if colour == "luma" else (lambda image: image.expand(-1, 3, -1, -1))
    return tuple(convert(image).to(device) for image in batches)


def in_colour(raster: Raster) -> bool:
    """Whether a raster is in colour: it has three channels that are not equal everywhere."""
    pixels = raster.pixels
    if pixels.ndim == 2:
        return False
    return not (np.array_equal(pixels[..., 0], pixels[..., 1]) and np.array_equal(pixels[..., 0], pixels[..., 2]))


def depth_of(rasters: Sequence[Raster], wanted: Literal["keep", 8, 16]) -> np.dtype[np.generic]:
    """The dtype of the result: the requested bit depth, or the highest among the sources."""
    if wanted != "keep":
        return np.dtype(np.uint8 if wanted == 8 else np.uint16)
    return np.dtype(_DEPTHS[max(_DEPTHS.index(raster.pixels.dtype.type) for raster in rasters)])


def storable(options: Options, rasters: Sequence[Raster], suffix: str) -> Options:
    """The options with a bit depth that the file format supports: floating point is stored in PNG with 16 bits."""
    if suffix.lower() == ".png" and depth_of(rasters, options.bit_depth).kind == "f":
        return options.model_copy(update={"bit_depth": 16})
    return options
