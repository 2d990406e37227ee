"""The pictures of one scene, for the report and for `fusekit explain`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fusekit.data.colour import luminance
from fusekit.data.raster import MIN_SIDE
from fusekit.evaluation.detection import detect
from fusekit.evaluation.grey import grey8
from fusekit.fusing.engine import WHOLE_PIXELS
from fusekit.fusing.scenes import as_sources
from fusekit.fusing.tiling.reduced import reduced_size
from fusekit.interfaces.guidance import Guidance
from fusekit.interfaces.reconstruction import ReconstructionHead
from fusekit.interfaces.task import DetectionNetwork, SegmentationNetwork
from fusekit.interfaces.types import Boxes, FusionOutput, Sources
from fusekit.model.system import FusionSystem
from fusekit.report.data import Picture
from fusekit.report.pictures import colour_labels, draw_boxes, heat, to_uint8

_CERTAIN = 0.3
"""Smallest score of a detection that is drawn."""

Maybe = TypeVar("Maybe", Tensor, Tensor | None)


class SceneAnalysis:
    """Outputs of the parts of a system for one scene, each computed on demand.

    Args:
        system: The system, in evaluation mode.
        sources: The inputs of the backbone, each (1, C, H, W).
        guidance: Guidance for the sources; created if None.
        output: The backbone's output; if None, the backbone is run when its output is needed.
    """

    def __init__(
        self,
        system: FusionSystem,
        sources: Sources,
        guidance: Guidance | None = None,
        output: FusionOutput | None = None,
    ) -> None:
        self.system = system
        self.sources = sources
        self.guidance = guidance or system.guidance(sources)
        self._given = output

    @cached_property
    def output(self) -> FusionOutput:
        """The full output of the backbone."""
        if self._given is not None:
            return self._given
        with torch.no_grad():
            backbone = self.system.backbone
            output: FusionOutput = backbone(self.sources, guidance=self.guidance if backbone.uses_guidance else None)
        return output

    def weights(self) -> Tensor | None:
        """Weight of each source, (N, H, W), from the proposer, else from the backbone; None if neither has weights."""
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
    boxes: Boxes | None = None,
) -> tuple[Picture, ...]:
    """Sources, fused image, ideal, weights and reconstruction of each source, segmentation of the fused image, label.

    With a detector, the objects found in the fused image and those annotated instead of segmentation and label.

    Pictures that do not apply to the system or the scene are left out. Scenes above a megapixel are shown and processed
    at a reduced size.

    Args:
        system: The system, in evaluation mode, on `device`.
        images: One per role, (1 or 3, H, W) in [0, 1].
        label: Label map (H, W) int64, or None.
        fused: The fused image as written to its file, (1 or 3, H, W) in [0, 1].
        measured: The fused luminance as written to its file, (1, H, W) in [0, 1].
        own_range: Whether `measured` is in the backbone's own range; reconstruction heads are trained only with such
            images.
        device: Device of the system.
        ideal: The ideal fused image, (1 or 3, H, W) in [0, 1], or None if it is not known.
        boxes: The annotated objects, or None.
    """
    whole = measured
    images = [_reduced(image) for image in images]
    fused, measured, ideal = _reduced(fused), _reduced(measured), _reduced(ideal)
    analysis = SceneAnalysis(system, as_sources(images, system.backbone.colour, device))
    pictures = [Picture(role, to_uint8(image)) for role, image in zip(system.roles, images, strict=True)]
    pictures.append(Picture("fused", to_uint8(fused), kind="fused"))
    if ideal is not None:
        pictures.append(Picture("ideal", to_uint8(ideal), kind="ideal"))
    weights = analysis.weights()
    if weights is not None:
        pictures += [
            Picture(f"weight of {role}", heat(weights[i].numpy(), neutral=1 / len(system.roles)), kind="weights")
            for i, role in enumerate(system.roles)
        ]
    if system.reconstruction is not None:
        from_file = own_range and system.backbone.colour == "luma"  # then the file has the values that the head takes
        head_input = measured[None].to(device) if from_file else analysis.output.image
        recovered = reconstruct(system.reconstruction, head_input)
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
    if isinstance(system.task, DetectionNetwork):
        pictures += _objects(system.task, whole, measured, boxes, device)
    return tuple(pictures)


def _objects(
    task: DetectionNetwork, image: Tensor, shown: Tensor, boxes: Boxes | None, device: torch.device | str
) -> list[Picture]:
    """Pictures of the objects found in an image (1, H, W), and of those annotated; `shown` has the size to draw."""
    found = detect(task, grey8(image), device)
    certain = found.scores >= _CERTAIN
    drawn = [("objects in fused", found.corners[certain], found.classes[certain], f"score {_CERTAIN:g} and more")]
    if boxes is not None:
        drawn.append(("annotated objects", boxes.corners[~boxes.ignored], boxes.classes[~boxes.ignored], ""))
    scale = np.array([shown.shape[-1] / image.shape[-1], shown.shape[-2] / image.shape[-2]] * 2)
    return [
        Picture(
            title,
            draw_boxes(to_uint8(shown), corners.numpy() * scale, classes.numpy(), task.classes.palette),
            note=note,
            kind="labels",
        )
        for title, corners, classes, note in drawn
    ]


def reconstruct(head: ReconstructionHead, fused: Tensor) -> tuple[Tensor, ...]:
    """The sources that a head reconstructs, each (C, H, W), from fused luminance (1, C, H, W)."""
    with torch.no_grad():
        return tuple(image[0].float().cpu() for image in head(fused))


def segment(task: SegmentationNetwork, image: Tensor, device: torch.device | str) -> Tensor:
    """Label map (H, W) predicted from the luminance of an image (1 or 3, H, W) in [0, 1]."""
    with torch.no_grad():
        return task.predict(task(luminance(image)[None].to(device)))[0].cpu()


def _reduced(image: Maybe) -> Maybe:
    """The image (C, H, W), reduced to a megapixel if it is larger."""
    if image is None or image.shape[-2] * image.shape[-1] <= WHOLE_PIXELS:
        return image
    return F.adaptive_avg_pool2d(image, reduced_size((image.shape[-2], image.shape[-1]), WHOLE_PIXELS, MIN_SIDE))
