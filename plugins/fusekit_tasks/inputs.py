"""Inputs of the task network in supervised training: made from the sources of a batch, and varied at random."""

from __future__ import annotations

import torch
from torch import Tensor

from fusekit.interfaces import Sources
from fusekit_tasks.config import SupervisedConfig


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


def vary(images: Tensor, labels: Tensor, config: SupervisedConfig) -> tuple[Tensor, Tensor]:
    """Random gain, tone curve and mirroring of each image; the label map is mirrored with its image.

    Args:
        images: (B, C, H, W) in [0, 1].
        labels: (B, H, W).
        config: Options; factors of 1 change nothing and draw no random numbers.

    Returns:
        Images clipped to [0, 1], and label maps.
    """
    if config.gamma > 1:
        images = images.clamp(0.0, 1.0) ** _factors(images, config.gamma)
    if config.gain > 1:
        images = (images * _factors(images, config.gain)).clamp(0.0, 1.0)
    if config.mirror:
        turned = (torch.rand(images.shape[0]) < 0.5).to(images.device)
        images = torch.where(turned[:, None, None, None], images.flip(-1), images)
        labels = torch.where(turned[:, None, None], labels.flip(-1), labels)
    return images, labels


def _factors(images: Tensor, largest: float) -> Tensor:
    """A factor per image between 1/largest and largest, (B, 1, 1, 1); its logarithm is uniform."""
    exponents = torch.rand(images.shape[0], 1, 1, 1) * 2.0 - 1.0
    return (largest**exponents).to(images)
