"""Fusing one scene: luminance through the network, chroma back in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fusekit.data.colour import luminance, restore_colour
from fusekit.errors import DataError
from fusekit.interfaces.guidance import Guidance
from fusekit.interfaces.types import FusionOutput, Sources
from fusekit.recipe.system import FusionSystem

Range = Literal["clip", "stretch"]
SMALLEST = 16


@dataclass(frozen=True)
class FusedScene:
    """A fused scene.

    Attributes:
        image: What a user wants to see, (1 or 3, H, W) in [0, 1].
        measured: The fused luminance (or the RGB image of an ``rgb`` backbone) in the chosen range, without
            chroma, (1 or 3, H, W); this is what metrics score.
        output: All that the backbone returned.
        sources: What the backbone was given, each (1, C, H, W).
        guidance: What the task network says about them; it computes only what it is asked for.
    """

    image: Tensor
    measured: Tensor
    output: FusionOutput
    sources: Sources
    guidance: Guidance | None


def as_sources(images: Sequence[Tensor], colour: str, device: torch.device | str = "cpu") -> Sources:
    """Images as a backbone wants them: luminance, or RGB with grey repeated; each (1, C, H, W).

    Args:
        images: One per source, (1 or 3, H, W) in [0, 1].
        colour: The backbone's ``colour``.
        device: Where they go.

    Raises:
        DataError: Sizes differ, or are below 16 pixels.
    """
    sizes = [tuple(image.shape[-2:]) for image in images]
    if len(set(sizes)) > 1:
        shown = ", ".join(f"{w}x{h}" for h, w in sizes)
        raise DataError(f"the sources differ in size: {shown}", hint="sources must be registered to each other")
    if min(sizes[0]) < SMALLEST:
        raise DataError(f"images of {sizes[0][1]}x{sizes[0][0]} are too small; the least is {SMALLEST}x{SMALLEST}")
    convert = luminance if colour == "luma" else (lambda image: image.expand(3, -1, -1))
    return tuple(convert(image)[None].to(device) for image in images)


def fuse_scene(
    system: FusionSystem,
    images: Sequence[Tensor],
    *,
    output_range: Range = "clip",
    device: torch.device | str = "cpu",
) -> FusedScene:
    """Fuses the images of one scene.

    Args:
        system: In evaluation mode, on `device`.
        images: One per role, (1 or 3, H, W) float in [0, 1].
        output_range: ``clip`` keeps the network's own range; ``stretch`` maps each image's minimum and maximum
            to 0 and 1, as the papers' scripts do.
        device: Where the system is.

    Raises:
        DataError: The number of images is wrong, sizes differ, or values are not finite.
    """
    if len(images) != len(system.roles):
        raise DataError(f"the model fuses {len(system.roles)} sources ({', '.join(system.roles)}), got {len(images)}")
    for role, image in zip(system.roles, images, strict=True):
        if not bool(torch.isfinite(image).all()):
            raise DataError(f"the {role} image holds NaN or infinite values")
    sources = as_sources(images, system.backbone.colour, device)
    guidance = system.guidance(sources)
    with torch.no_grad():
        output = system.backbone(sources, guidance=guidance if system.backbone.uses_guidance else None)
    fused = output.image[0].float().cpu()
    if output_range == "stretch":
        low, high = fused.min(), fused.max()
        fused = (fused - low) / (high - low) if bool(high > low) else fused
    fused = fused.clamp(0.0, 1.0)
    shown = restore_colour(fused, [i.cpu() for i in images]) if system.backbone.colour == "luma" else fused
    return FusedScene(shown.clamp(0.0, 1.0), fused, output, sources, guidance)
