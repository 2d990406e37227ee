"""The fusing engine: one scene through one system, for `fusekit run`, `fusekit fuse` and programs alike.

Whole or in tiles, luminance goes through the network, is brought into range, and gets its colour. What is fused comes
from a scene, which also takes the result: `RasterScene` for what files hold, `TensorScene` for values.
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
"""Largest image that ``auto`` fuses whole: 2 to 3 GiB with the built-in networks, and all usual cameras' for fusion."""

TILE = 384
"""Side of an ``auto`` tile: with larger ones features leave a processor's cache, with smaller ones margins dominate."""

_COLOUR_CHOICES = ("auto", "luma", "channels")


@dataclass(frozen=True)
class Fused(Generic[Image]):
    """A fused scene.

    Attributes:
        image: What a user wants to see: a raster, or a tensor (…, 1 or 3, H, W) in [0, 1] as the sources are given.
        measured: The fused luminance (the image itself, of an ``rgb`` backbone or of channels fused one by one) in
            the chosen range, before it gets its colour, (…, 1 or 3, H, W) in [0, 1]: what metrics score. None where
            it was not asked for.
        output: All that the backbone returned; None where the image was fused in tiles or channel by channel.
        sources: What the backbone was given, each (B, C, H, W); None as `output`.
        guidance: What the task network says about them, where the backbone listens to it.
    """

    image: Image
    measured: Tensor | None = None
    output: FusionOutput | None = None
    sources: Sources | None = None
    guidance: Guidance | None = None


@dataclass(frozen=True)
class Colouring:
    """A colour policy with its decisions made: once for all parts of an image, or for all frames of a stream.

    Attributes:
        channels: Channels of the result, 1 or 3.
        separate: Red, green and blue are fused separately; nothing is added afterwards.
        chroma_sources: Indices of the sources whose chroma the result gets.
        own: The backbone fuses RGB itself, and its colours stay.
    """

    channels: Literal[1, 3]
    separate: bool = False
    chroma_sources: tuple[int, ...] = ()
    own: bool = False

    @classmethod
    def choose(cls, choice: str, coloured: Sequence[bool], roles: Sequence[str], backbone: str) -> Colouring:
        """Decides.

        Args:
            choice: ``auto``, ``luma``, ``channels`` or a role.
            coloured: Of each source, whether it is in colour.
            roles: Roles of the sources.
            backbone: ``luma`` or ``rgb``, what the backbone works on.

        Raises:
            UsageError: There is no such role, or the backbone cannot do it.
        """
        if choice == "luma":
            return cls(1)
        if choice == "channels":
            if backbone == "rgb":
                raise UsageError("colour 'channels': this model fuses colour as a whole", hint="take colour 'auto'")
            return cls(3, separate=True) if any(coloured) else cls(1)
        if choice in roles:
            index = list(roles).index(choice)
            return cls(3, chroma_sources=(index,)) if coloured[index] else cls(1)
        if choice != "auto":
            known = ", ".join([*_COLOUR_CHOICES, *roles])
            raise UsageError(f"colour {choice!r} is neither a choice nor a role", hint=f"there are {known}")
        if backbone == "rgb":
            return cls(3, own=True)
        lenders = tuple(index for index, colour in enumerate(coloured) if colour)
        return cls(3, chroma_sources=lenders) if lenders else cls(1)

    @property
    def fused_channels(self) -> Sequence[int | None]:
        """What is fused, one after the other: each of three channels, or None for the images as they are."""
        return range(3) if self.separate else [None]

    def apply(self, fused: Tensor, images: Sequence[Tensor]) -> Tensor:
        """Gives fused values (…, 1 or 3, H, W) in [0, 1] their colour: (…, `channels`, H, W) in [0, 1].

        Args:
            fused: As the backbone made them, in range.
            images: The sources, each (…, 1 or 3, H, W) in [0, 1].
        """
        if self.own or self.separate:
            return fused
        fused = luminance(fused)
        if not self.chroma_sources:
            return fused
        if len(self.chroma_sources) == 1:
            return join(fused, chroma(images[self.chroma_sources[0]].to(fused)))
        made = restore_colour(fused, [images[index] for index in self.chroma_sources])
        return made.expand(*made.shape[:-3], 3, *made.shape[-2:])  # a part without any colour comes back grey


class Engine:
    """Fuses scenes with a system.

    Args:
        system: In evaluation mode, on `device`.
        options: Range, colour and tiles of the result.
        device: Where the system is.
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
            scene: Its images; takes the result.
            colouring: A decision about colour that was made before, for the frames of a stream.
            measure: Give the fused luminance as well.
            advance: Told about tiles.

        Raises:
            DataError: The number of images is wrong, sizes differ or are below 16 pixels, or values are not finite.
            UsageError: Options that the model or the size does not allow; or a batch is to be fused in tiles.
        """
        check_count(self.system, len(scene.sizes))
        check_sizes(scene.sizes)
        colouring = colouring or self.colouring(scene.coloured())
        tile = self.tile(*scene.sizes[0])
        if tile is None:
            return self._whole(scene, colouring, measure)
        if self.options.range == "stretch":
            height, width = scene.sizes[0]
            raise UsageError(
                f"range 'stretch' does not go with tiles, and {width}x{height} pixels are fused in tiles",
                hint="choose range fixed with limits, or clip; tile off fuses it whole if memory suffices",
            )
        if scene.batch > 1:
            raise UsageError("a batch is not fused in tiles", hint="split it into its scenes first (TensorScene.split)")
        return self._in_tiles(scene, colouring, tile, measure, advance)

    def colouring(self, coloured: Sequence[bool]) -> Colouring:
        """Which colour the result gets, where it is known which sources are in colour."""
        roles = role_names(self.system, len(coloured))
        return Colouring.choose(self.options.colour, coloured, roles, self.system.backbone.colour)

    def tile(self, height: int, width: int) -> int | None:
        """Side of the tiles in which to fuse images of a size; None to fuse them whole.

        Where a backbone reaches far, tiles are larger, lest windows be mostly margin.
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

    def _whole(self, scene: Scene[Image], colouring: Colouring, measure: bool) -> Fused[Image]:
        """All pixels at once."""
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
        if colouring.separate:  # of each channel there is another
            output = sources = guidance = None
        return Fused(scene.result(), measured, output, sources, guidance)

    def _in_tiles(
        self, scene: Scene[Image], colouring: Colouring, tile: int, measure: bool, advance: Advance | None
    ) -> Fused[Image]:
        """Tile by tile; and where channels are fused separately, one channel after the other."""
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
    """One channel (…, 1, H, W) of images, grey ones having but one; the images themselves where None is asked for."""
    if channel is None:
        return list(images)
    return [image.narrow(-3, min(channel, image.shape[-3] - 1), 1) for image in images]


def in_range(fused: Tensor, options: FuseOptions) -> Tensor:
    """Fused values (B, C, H, W) in the chosen range, within [0, 1]."""
    if options.range == "stretch":
        return stretched(fused)
    if options.limits is not None:
        low, high = options.limits
        fused = (fused - low) / (high - low)
    return fused.clamp(0.0, 1.0)


def stretched(fused: Tensor) -> Tensor:
    """Every image of (B, C, H, W) with its minimum mapped to 0 and its maximum to 1; a constant one is clipped."""
    low, high = torch.aminmax(fused.flatten(1), dim=1)
    low, high = (limit.view(-1, 1, 1, 1) for limit in (low, high))
    return torch.where(high > low, (fused - low) / (high - low).clamp_min(1e-30), fused).clamp(0.0, 1.0)
