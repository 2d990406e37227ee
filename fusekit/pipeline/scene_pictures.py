"""The pictures of one scene, for the report and for `fusekit explain`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fusekit.data.colour import luminance
from fusekit.evaluation.report.data import Picture
from fusekit.evaluation.report.pictures import colour_labels, heat, to_uint8
from fusekit.fusing.fuse import FusedScene, Range, fuse_scene
from fusekit.interfaces.reconstruction import ReconstructionHead
from fusekit.interfaces.task import SegmentationNetwork
from fusekit.recipe.system import FusionSystem


def scene_pictures(
    system: FusionSystem,
    images: Sequence[Tensor],
    label: Tensor | None,
    *,
    device: torch.device | str,
    output_range: Range = "clip",
    ideal: Tensor | None = None,
) -> tuple[Picture, ...]:
    """Sources, fused image, ideal, weights and reconstruction of each source, segmentation on the fused image, label.

    What the system or the scene does not have is left out.

    Args:
        system: In evaluation mode, on `device`.
        images: One per role, (1 or 3, H, W) in [0, 1].
        label: Class map (H, W) int64, or None.
        device: Where the system is.
        output_range: Range of the fused image.
        ideal: The fused image that there should be, (1 or 3, H, W) in [0, 1], or None where it is not known.
    """
    scene = fuse_scene(system, images, output_range=output_range, device=device)
    pictures = [Picture(role, to_uint8(image.numpy())) for role, image in zip(system.roles, images, strict=True)]
    pictures.append(Picture("fused", to_uint8(scene.image.numpy()), kind="fused"))
    if ideal is not None:
        pictures.append(Picture("ideal", to_uint8(ideal), kind="ideal"))
    weights = proposed_weights(system, scene)
    if weights is not None:
        pictures += [
            Picture(f"weight of {role}", heat(weights[i].numpy(), neutral=1 / len(system.roles)), kind="weights")
            for i, role in enumerate(system.roles)
        ]
    if system.reconstruction is not None:
        recovered = reconstruct(system.reconstruction, scene)
        pictures += [
            Picture(f"reconstructed {role}", to_uint8(image), kind="reconstruction")
            for role, image in zip(system.roles, recovered, strict=True)
        ]
    if isinstance(system.task, SegmentationNetwork):
        table = system.task.classes
        predicted = segment(system.task, scene.measured, device)
        pictures.append(
            Picture(
                "segmentation of fused",
                colour_labels(predicted.numpy(), table.palette, table.ignore_index),
                kind="labels",
            )
        )
        if label is not None:
            pictures.append(
                Picture("label", colour_labels(label.numpy(), table.palette, table.ignore_index), kind="labels")
            )
    return tuple(pictures)


def proposed_weights(system: FusionSystem, scene: FusedScene) -> Tensor | None:
    """Share of each source, (N, H, W): what the proposer says, else the backbone; None where neither does."""
    if system.proposer is not None:
        with torch.no_grad():
            proposal = system.proposer(scene.sources, guidance=scene.guidance)
        return proposal.weights[0].float().cpu()
    return scene.output.weights[0].float().cpu() if scene.output.weights is not None else None


def reconstruct(head: ReconstructionHead, scene: FusedScene) -> tuple[Tensor, ...]:
    """The sources that a head recovers, each (C, H, W), from the image that the backbone gave.

    A stretched range or the chroma put back is for the eye: the head has learnt from neither.
    """
    with torch.no_grad():
        return tuple(image[0].float().cpu() for image in head(scene.output.image))


def segment(task: SegmentationNetwork, image: Tensor, device: torch.device | str) -> Tensor:
    """Class map (H, W) of an image (1 or 3, H, W) in [0, 1], by its luminance."""
    with torch.no_grad():
        return task.predict(task(luminance(image)[None].to(device)))[0].cpu()
