"""The pictures of one scene, for the report and for `fusekit explain`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from fusekit.data.colour import luminance
from fusekit.data.raster import MIN_SIDE
from fusekit.fusing.engine import WHOLE_PIXELS
from fusekit.fusing.scenes import as_sources
from fusekit.fusing.tiling.reduced import reduced_size
from fusekit.guidance.task import TaskGuidance
from fusekit.interfaces.reconstruction import ReconstructionHead
from fusekit.interfaces.task import SegmentationNetwork
from fusekit.interfaces.types import FusionOutput, Sources
from fusekit.model.system import FusionSystem
from fusekit.report.data import Picture
from fusekit.report.pictures import colour_labels, heat, to_uint8

Maybe = TypeVar("Maybe", Tensor, Tensor | None)


class Asked:
    """What the parts of a system say about a scene, each computed when it is asked for.

    Args:
        system: In evaluation mode.
        sources: What the backbone was given, each (1, C, H, W).
        guidance: What the task network says about them; made here when None.
        output: What the backbone returned; when None it is asked again, if nothing else knows.
    """

    def __init__(
        self,
        system: FusionSystem,
        sources: Sources,
        guidance: TaskGuidance | None = None,
        output: FusionOutput | None = None,
    ) -> None:
        self.system = system
        self.sources = sources
        self.guidance = guidance or system.guidance(sources)
        self._given = output

    @cached_property
    def output(self) -> FusionOutput:
        """All that the backbone says."""
        if self._given is not None:
            return self._given
        with torch.no_grad():
            backbone = self.system.backbone
            output: FusionOutput = backbone(self.sources, guidance=self.guidance if backbone.uses_guidance else None)
        return output

    def weights(self) -> Tensor | None:
        """Share of each source, (N, H, W): what the proposer says, else the backbone; None where neither does."""
        if self.system.proposer is None:
            return self.output.weights[0].float().cpu() if self.output.weights is not None else None
        with torch.no_grad():
            proposal = self.system.proposer(self.sources, guidance=self.guidance)
        return proposal.weights[0].float().cpu()


def scene_pictures(
    system: FusionSystem,
    images: Sequence[Tensor],
    label: Tensor | None,
    *,
    fused: Tensor,
    measured: Tensor,
    own_range: bool,
    device: torch.device | str,
    ideal: Tensor | None = None,
) -> tuple[Picture, ...]:
    """Sources, fused image, ideal, weights and reconstruction of each source, segmentation on the fused image, label.

    What the system or the scene does not have is left out. Scenes above a megapixel are shown, and looked at by the
    parts of the system, at a reduced size.

    Args:
        system: In evaluation mode, on `device`.
        images: One per role, (1 or 3, H, W) in [0, 1].
        label: Label map (H, W) int64, or None.
        fused: The fused image as it was written, (1 or 3, H, W) in [0, 1].
        measured: The fused luminance as it was written, (1, H, W) in [0, 1].
        own_range: Whether `measured` is in the range that the backbone gave: only such images has a head learnt from.
        device: Where the system is.
        ideal: The fused image that there should be, (1 or 3, H, W) in [0, 1], or None where it is not known.
    """
    images = [_reduced(image) for image in images]
    fused, measured, ideal = _reduced(fused), _reduced(measured), _reduced(ideal)
    asked = Asked(system, as_sources(images, system.backbone.colour, device))
    pictures = [Picture(role, to_uint8(image)) for role, image in zip(system.roles, images, strict=True)]
    pictures.append(Picture("fused", to_uint8(fused), kind="fused"))
    if ideal is not None:
        pictures.append(Picture("ideal", to_uint8(ideal), kind="ideal"))
    weights = asked.weights()
    if weights is not None:
        pictures += [
            Picture(f"weight of {role}", heat(weights[i].numpy(), neutral=1 / len(system.roles)), kind="weights")
            for i, role in enumerate(system.roles)
        ]
    if system.reconstruction is not None:
        known = own_range and system.backbone.colour == "luma"  # files hold what the head would be given
        seen = measured[None].to(device) if known else asked.output.image
        recovered = reconstruct(system.reconstruction, seen)
        pictures += [
            Picture(f"reconstructed {role}", to_uint8(image), kind="reconstruction")
            for role, image in zip(system.roles, recovered, strict=True)
        ]
    if isinstance(system.task, SegmentationNetwork):
        table = system.task.classes
        predicted = segment(system.task, measured, device)
        pictures.append(
            Picture(
                "segmentation of fused",
                colour_labels(predicted.numpy(), table.palette, table.ignore_index),
                kind="labels",
            )
        )
        if label is not None:
            shown = F.interpolate(label[None, None].float(), measured.shape[-2:], mode="nearest-exact")[0, 0].long()
            pictures.append(
                Picture("label", colour_labels(shown.numpy(), table.palette, table.ignore_index), kind="labels")
            )
    return tuple(pictures)


def reconstruct(head: ReconstructionHead, fused: Tensor) -> tuple[Tensor, ...]:
    """The sources that a head recovers, each (C, H, W), from fused luminance (1, C, H, W)."""
    with torch.no_grad():
        return tuple(image[0].float().cpu() for image in head(fused))


def segment(task: SegmentationNetwork, image: Tensor, device: torch.device | str) -> Tensor:
    """Label map (H, W) of an image (1 or 3, H, W) in [0, 1], by its luminance."""
    with torch.no_grad():
        return task.predict(task(luminance(image)[None].to(device)))[0].cpu()


def _reduced(image: Maybe) -> Maybe:
    """An image (C, H, W) of a megapixel at most."""
    if image is None or image.shape[-2] * image.shape[-1] <= WHOLE_PIXELS:
        return image
    return F.adaptive_avg_pool2d(image, reduced_size((image.shape[-2], image.shape[-1]), WHOLE_PIXELS, MIN_SIDE))
