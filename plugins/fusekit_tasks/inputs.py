"""Inputs of task networks: their channels, and those made and varied at random for supervised training."""

from __future__ import annotations

import torch
from torch import Tensor

from fusekit.interfaces import Batch, Boxes, Sources
from fusekit_tasks.config import SupervisedConfig

_LUMA = (0.299, 0.587, 0.114)


def to_channels(image: Tensor, channels: int) -> Tensor:
    """The image (B, 1 or 3, H, W) with the channels of a network: grey is repeated, colour becomes luminance."""
    if image.shape[1] == channels:
        return image
    if channels == 3:
        return image.expand(-1, 3, -1, -1)
    luma = torch.tensor(_LUMA, device=image.device, dtype=image.dtype)
    return (image * luma[:, None, None]).sum(dim=1, keepdim=True)


def make_inputs(sources: Sources, config: SupervisedConfig) -> list[Tensor]:
    """All inputs that the options name, each (B, C, H, W) in [0, 1]."""
    images = list(sources) if "sources" in config.inputs else []
    if "mean" in config.inputs:
        images.append(torch.stack(sources).mean(dim=0))
    if "maximum" in config.inputs:
        images.append(torch.stack(sources).amax(dim=0))
    if "mixture" in config.inputs:
        images.append(mixture(sources))
    return images


def mixture(sources: Sources) -> Tensor:
    """Σ_k λ_k I_k with weights λ drawn per image from a Dirichlet(0.5), so that nearly pure sources are frequent."""
    shares = torch.distributions.Dirichlet(torch.full((len(sources),), 0.5)).sample((sources[0].shape[0],))
    shares = shares.to(sources[0])[:, :, None, None, None]
    return (shares * torch.stack(sources, dim=1)).sum(dim=1)


def draw(images: list[Tensor]) -> Tensor:
    """One of the inputs for each scene of the batch, drawn at random, (B, C, H, W)."""
    batch = images[0].shape[0]
    chosen = torch.randint(len(images), (batch,))
    return torch.stack([images[int(k)][b] for b, k in enumerate(chosen)])


def annotated(images: Tensor, batch: Batch) -> Batch:
    """The images as the only source of a batch, with the annotations of their scenes.

    Args:
        images: (n B, C, H, W), n ≥ 1 inputs of each of the B scenes: those of all scenes first, then the next ones.
        batch: The scenes, with label maps, boxes or both.
    """
    count = len(images) // len(batch.sources[0])
    labels = None if batch.labels is None else batch.labels.repeat(count, 1, 1)
    return Batch((images,), labels, batch.ids * count, None if batch.boxes is None else batch.boxes * count)


def vary(batch: Batch, config: SupervisedConfig) -> Batch:
    """Random gain, tone curve and mirroring of each image; its label map and boxes are mirrored with it.

    Args:
        batch: A batch with one source, (B, C, H, W) in [0, 1].
        config: Options; factors of 1 change nothing and draw no random numbers.

    Returns:
        The batch with the images clipped to [0, 1].
    """
    (images,), labels, boxes = batch.sources, batch.labels, batch.boxes
    if config.gamma > 1:
        images = images.clamp(0.0, 1.0) ** _factors(images, config.gamma)
    if config.gain > 1:
        images = (images * _factors(images, config.gain)).clamp(0.0, 1.0)
    if config.mirror:
        turned = (torch.rand(images.shape[0]) < 0.5).to(images.device)
        images = torch.where(turned[:, None, None, None], images.flip(-1), images)
        if labels is not None:
            labels = torch.where(turned[:, None, None], labels.flip(-1), labels)
        if boxes is not None:
            boxes = tuple(_mirrored(each, images) if turn else each for each, turn in zip(boxes, turned, strict=True))
    return Batch((images,), labels, batch.ids, boxes)


def _mirrored(boxes: Boxes, images: Tensor) -> Boxes:
    height, width = images.shape[-2:]
    return boxes.moved((-1, 1), (width, 0), (height, width))


def _factors(images: Tensor, largest: float) -> Tensor:
    """A factor per image between 1/largest and largest, (B, 1, 1, 1); its logarithm is uniform."""
    exponents = torch.rand(images.shape[0], 1, 1, 1) * 2.0 - 1.0
    return (largest**exponents).to(images)
