"""The fusion engine: fuses one scene with one system, for `fusekit run`, `fusekit fuse` and the Python API.

The luminance is fused by the network, whole or in tiles, mapped to the chosen range, and combined with chroma. A scene
provides the sources and stores the result: `RasterScene` for images as files hold them, `TensorScene` for tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, Literal

import torch
from torch import Tensor

from fusekit.data.colour import chroma, join, luminance, restore_colour
from fusekit.errors import UsageError
from fusekit.fusing.scenes import Image, Scene, as_sources, check_count, check_finite, check_sizes, role_names
from fusekit.fusing.tiling.boxes import Box
from fusekit.fusing.tiling.tiles import fuse_in_tiles
from fusekit.interfaces.guidance import Guidance
from fusekit.interfaces.types import FusionOutput, Sources
from fusekit.model.system import FusionSystem
from fusekit.progress import Advance
from fusekit.recipe.fuse_options import FuseOptions

WHOLE_PIXELS = 1 << 20
"""Largest image that ``auto`` fuses whole: 2 to 3 GiB with the built-in networks; covers the usual fusion cameras."""

TILE = 384
"""Side of an ``auto`` tile: features of larger tiles exceed a processor's cache; in smaller ones margins dominate."""

_COLOUR_CHOICES = ("auto", "luma", "channels")


@dataclass(frozen=True)
class Fused(Generic[Image]):
    """A fused scene.

    Attributes:
        image: The fused image: a raster, or a tensor (…, 1 or 3, H, W) in [0, 1] in the layout of the sources.
        measured: The fused luminance (for an ``rgb`` backbone, or channels fused one by one, the image itself) in
            the chosen range, before chroma is added, (…, 1 or 3, H, W) in [0, 1]: what metrics score. None unless
            requested.
        output: The full output of the backbone; None if the image was fused in tiles or channel by channel.
        sources: The inputs of the backbone, each (B, C, H, W); None in the same cases as `output`.
        guidance: Guidance by the task network for these sources, if the backbone uses guidance.
    """

    image: Image
    measured: Tensor | None = None
    output: FusionOutput | None = None
    sources: Sources | None = None
    guidance: Guidance | None = None


@dataclass(frozen=True)
class Colouring:
    """A resolved colour policy, the same for all parts of an image or all frames of a stream.

    Attributes:
        channels: Channels of the result, 1 or 3.
        separate: Red, green and blue are fused separately; no chroma is added afterwards.
        chroma_sources: Indices of the sources whose chroma the result gets.
        own: The backbone fuses RGB itself, and its colours are kept.
    """

    channels: Literal[1, 3]
    separate: bool = False
    chroma_sources: tuple[int, ...] = ()
    own: bool = False

    @classmethod
    def choose(cls, choice: str, coloured: Sequence[bool], roles: Sequence[str], backbone: str) -> Colouring:
        """Resolves a colour option.

        Args:
            choice: ``auto``, ``luma``, ``channels`` or a role.
            coloured: For each source, whether it is in colour.
            roles: Roles of the sources.
            backbone: The backbone's ``colour``: ``luma`` or ``rgb``.

        Raises:
            UsageError: The role does not exist, or the backbone does not support the choice.
        """
        if choice == "luma":
            return cls(1)
        if choice == "channels":
            if backbone == "rgb":
                raise UsageError(
                    "colour 'channels' does not apply: this model fuses all colour channels together",
                    hint="choose colour 'auto'",
                )
            return cls(3, separate=True) if any(coloured) else cls(1)
        if choice in roles:
            index = list(roles).index(choice)
            return cls(3, chroma_sources=(index,)) if coloured[index] else cls(1)
        if choice != "auto":
            known = ", ".join([*_COLOUR_CHOICES, *roles])
            raise UsageError(f"colour {choice!r} is neither a choice nor a role", hint=f"choose one of {known}")
        if backbone == "rgb":
            return cls(3, own=True)
        chroma_sources = tuple(index for index, colour in enumerate(coloured) if colour)
        return cls(3, chroma_sources=chroma_sources) if chroma_sources else cls(1)

    @property
    def fused_channels(self) -> Sequence[int | None]:
        """Channels that are fused one after the other: each of the three, or None for the unchanged images."""
        return range(3) if self.separate else [None]

    def apply(self, fused: Tensor, images: Sequence[Tensor]) -> Tensor:
        """Adds colour to fused values (…, 1 or 3, H, W) in [0, 1]: returns (…, `channels`, H, W) in [0, 1].

        Args:
            fused: The values that the backbone returned, in range.
            images: The sources, each (…, 1 or 3, H, W) in [0, 1].
        """
        if self.own or self.separate:
            return fused
        fused = luminance(fused)
        if not self.chroma_sources:
            return fused
        if len(self.chroma_sources) == 1:
            return join(fused, chroma(images[self.chroma_sources[0]].to(fused)))
        coloured = restore_colour(fused, [images[index] for index in self.chroma_sources])
        return coloured.expand(
            *coloured.shape[:-3], 3, *coloured.shape[-2:]
        )  # a part without any colour is returned as grey


class Engine:
    """Fuses scenes with a system.

    Args:
        system: The system, in evaluation mode, on `device`.
        options: Range, colour and tiles of the result.
        device: Device of the system.
    """

    def __init__(
        self, system: FusionSystem, options: FuseOptions | None = None, *, device: torch.device | str = "cpu"
    ) -> None:
        self.system = system
        self.options = options or FuseOptions()
        self.device = torch.device(device)

    def fuse(
        self,
        scene: Scene[Image],
        *,
        colouring: Colouring | None = None,
        measure: bool = False,
        advance: Advance | None = None,
    ) -> Fused[Image]:
        """Fuses a scene.

        Args:
            scene: Provides the images and stores the result.
            colouring: A colour policy resolved earlier, for the frames of a stream.
            measure: Also return the fused luminance.
            advance: Progress callback, called for each tile.

        Raises:
            DataError: The number of images is wrong, sizes differ or are below 16 pixels, or values are not finite.
            UsageError: The model or the image size does not allow the options, or a batch would be fused in tiles.
        """
        check_count(self.system, len(scene.sizes))
        check_sizes(scene.sizes)
        colouring = colouring or self.colouring(scene.coloured())
        tile = self.tile(*scene.sizes[0])
        if tile is None:
            return self._fuse_whole(scene, colouring, measure)
        if self.options.range == "stretch":
            height, width = scene.sizes[0]
            raise UsageError(
                f"range 'stretch' cannot be combined with tiles, and {width}x{height} pixels are fused in tiles",
                hint="choose range fixed with limits, or clip; tile off fuses the image whole if memory suffices",
            )
        if scene.batch > 1:
            raise UsageError("a batch cannot be fused in tiles", hint="split it into scenes first (TensorScene.split)")
        return self._fuse_tiles(scene, colouring, tile, measure, advance)

    def colouring(self, coloured: Sequence[bool]) -> Colouring:
        """The colour policy of the result, given which sources are in colour."""
        roles = role_names(self.system, len(coloured))
        return Colouring.choose(self.options.colour, coloured, roles, self.system.backbone.colour)

    def tile(self, height: int, width: int) -> int | None:
        """Side of the tiles in which to fuse images of a size; None to fuse them whole.

        Backbones with a large reach get larger tiles, so that windows do not consist mostly of margin.
        """
        if self.options.tile == "off":
            return None
        if self.options.tile == "auto":
            if height * width <= WHOLE_PIXELS:
                return None
            side = max(TILE, 2 * (self.system.backbone.reach or 0))
        else:
            side = self.options.tile
        return None if max(height, width) <= side else side

    def _fuse_whole(self, scene: Scene[Image], colouring: Colouring, measure: bool) -> Fused[Image]:
        """Fuses all pixels at once."""
        images = scene.read(scene.box)
        if scene.floating:
            check_finite(self.system, images)
        planes, output, sources, guidance = [], None, None, None
        for channel in colouring.fused_channels:
            sources = as_sources(of_channel(images, channel), self.system.backbone.colour, self.device)
            guidance = self.system.guidance(sources) if self.system.guided else None
            with torch.no_grad():
                output = self.system.backbone(sources, guidance=guidance)
            planes.append(output.image.float().cpu())
        fused = in_range(torch.cat(planes, dim=1), self.options)
        scene.begin(colouring.channels)
        scene.put(scene.box, colouring.apply(fused, [image.cpu() for image in images]))
        measured = scene.as_given(fused) if measure else None
        if colouring.separate:  # each channel has its own
            output = sources = guidance = None
        return Fused(scene.result(), measured, output, sources, guidance)

    def _fuse_tiles(
        self, scene: Scene[Image], colouring: Colouring, tile: int, measure: bool, advance: Advance | None
    ) -> Fused[Image]:
        """Fuses tile by tile; if channels are fused separately, one channel after the other."""
        scene.begin(colouring.channels)
        channels = 3 if colouring.separate or self.system.backbone.colour == "rgb" else 1
        measured = torch.empty(1, channels, *scene.sizes[0]) if measure else None

        def read(box: Box, channel: int | None) -> list[Tensor]:
            return [image[0] for image in of_channel(scene.read(box), channel)]

        def put(box: Box, fused: Tensor, channel: int | None) -> None:
            fused = in_range(fused[None], self.options)
            if measured is not None:
                box.of(measured if channel is None else measured[:, channel : channel + 1]).copy_(fused)
            if channel is None:
                fused = colouring.apply(fused, scene.read(box) if colouring.chroma_sources else [])
            scene.put(box, fused, channel)

        for channel in colouring.fused_channels:
            fuse_in_tiles(
                self.system,
                scene.sizes[0],
                partial(read, channel=channel),
                partial(put, channel=channel),
                tile=tile,
                device=self.device,
                advance=advance,
            )
        return Fused(scene.result(), None if measured is None else scene.as_given(measured))


def of_channel(images: Sequence[Tensor], channel: int | None) -> list[Tensor]:
    """One channel (…, 1, H, W) of each image; grey images have only one. The images themselves if `channel` is None."""
    if channel is None:
        return list(images)
    return [image.narrow(-3, min(channel, image.shape[-3] - 1), 1) for image in images]


def in_range(fused: Tensor, options: FuseOptions) -> Tensor:
    """Fused values (B, C, H, W) mapped to the chosen range, within [0, 1]."""
    if options.range == "stretch":
        return stretched(fused)
    if options.limits is not None:
        low, high = options.limits
        fused = (fused - low) / (high - low)
    return fused.clamp(0.0, 1.0)


def stretched(fused: Tensor) -> Tensor:
    """Each image of (B, C, H, W) with its minimum mapped to 0 and its maximum to 1; constant images are clipped."""
    low, high = torch.aminmax(fused.flatten(1), dim=1)
    low, high = (limit.view(-1, 1, 1, 1) for limit in (low, high))
    return torch.where(high > low, (fused - low) / (high - low).clamp_min(1e-30), fused).clamp(0.0, 1.0)
