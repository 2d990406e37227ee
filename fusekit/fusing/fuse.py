"""Fusing one scene: luminance through the network, chroma back in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fusekit.data.colour import luminance, restore_colour
from fusekit.data.raster import MIN_SIDE
from fusekit.errors import DataError
from fusekit.fusing.options import stretched
from fusekit.guidance.task import TaskGuidance
from fusekit.interfaces.types import FusionOutput, Sources
from fusekit.recipe.system import FusionSystem

Range = Literal["clip", "stretch"]
SIZE_HINT = "sources must be registered to each other, pixel by pixel; fusekit fuse --align shift lays one on the other"


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
    guidance: TaskGuidance | None


def check_images(system: FusionSystem, images: Sequence[Tensor]) -> None:
    """Refuses what the system cannot fuse.

    Args:
        system: Whose roles and backbone say how many images there must be.
        images: One per source, each (…, 1 or 3, H, W).

    Raises:
        DataError: Their number is wrong, sizes differ or are below 16 pixels, or values are not finite.
    """
    check_count(system, len(images))
    check_sizes([(image.shape[-2], image.shape[-1]) for image in images])
    check_finite(system, images)


def check_finite(system: FusionSystem, images: Sequence[Tensor]) -> None:
    """Refuses NaN and infinite values.

    Raises:
        DataError: There are some; says in which source.
    """
    for role, image in zip(role_names(system, len(images)), images, strict=True):
        if not bool(torch.isfinite(image).all()):
            raise DataError(f"the {role} image holds NaN or infinite values")


def check_count(system: FusionSystem, count: int) -> None:
    """Refuses a number of sources that the system does not take.

    Raises:
        DataError: It takes another.
    """
    wanted = len(system.roles) or system.backbone.source_count or count
    if count != wanted or count == 0:
        roles = f" ({', '.join(system.roles)})" if system.roles else ""
        raise DataError(f"the model fuses {wanted or 'one or more'} sources{roles}, got {count}")


def check_sizes(sizes: Sequence[tuple[int, int]]) -> None:
    """Refuses (height, width) of sources that differ, or are too small.

    Raises:
        DataError: They do.
    """
    if len(set(sizes)) > 1:
        shown = ", ".join(f"{w}x{h}" for h, w in sizes)
        raise DataError(f"the sources differ in size: {shown}", hint=SIZE_HINT)
    if min(sizes[0]) < MIN_SIDE:
        raise DataError(f"images of {sizes[0][1]}x{sizes[0][0]} are too small; the least is {MIN_SIDE}x{MIN_SIDE}")


def role_names(system: FusionSystem, count: int) -> tuple[str, ...]:
    """Roles of so many sources; ``a``, ``b``, … where the model has none."""
    return system.roles or tuple("abcdefghijklmnopqrstuvwxyz"[:count])


def as_sources(images: Sequence[Tensor], colour: str, device: torch.device | str = "cpu") -> Sources:
    """Images as a backbone wants them: luminance, or RGB with grey repeated; each (B, C, H, W).

    Args:
        images: One per source, (1 or 3, H, W) or (B, 1 or 3, H, W) in [0, 1], of one size.
        colour: The backbone's ``colour``.
        device: Where they go.
    """
    batches = [image[None] if image.ndim == 3 else image for image in images]
    convert = luminance if colour == "luma" else (lambda image: image.expand(-1, 3, -1, -1))
    return tuple(convert(image).to(device) for image in batches)


def run_backbone(system: FusionSystem, sources: Sources) -> tuple[FusionOutput, TaskGuidance | None]:
    """The backbone's output for sources (B, C, H, W), and the guidance that it may have asked."""
    guidance = system.guidance(sources)
    with torch.no_grad():
        output = system.backbone(sources, guidance=guidance if system.backbone.uses_guidance else None)
    return output, guidance


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
    check_images(system, images)
    sources = as_sources(images, system.backbone.colour, device)
    output, guidance = run_backbone(system, sources)
    fused = output.image.float().cpu()
    fused = (stretched(fused) if output_range == "stretch" else fused.clamp(0.0, 1.0))[0]
    shown = restore_colour(fused, [i.cpu() for i in images]) if system.backbone.colour == "luma" else fused
    return FusedScene(shown.clamp(0.0, 1.0), fused, output, sources, guidance)
