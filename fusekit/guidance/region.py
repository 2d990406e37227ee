"""Region attribution: how much each region of a source contributes to recognising its class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from fusekit.interfaces.guidance import RegionAttribution
from fusekit.interfaces.pathway import Path
from fusekit.interfaces.task import TaskNetwork


def region_attribution(
    task: TaskNetwork,
    paths: Sequence[Path],
    regions: Tensor,
    *,
    scope: Literal["image", "batch"] = "image",
    megapixels: float = 1.0,
) -> RegionAttribution:
    """Attributes the score of every class present to the region of that class, source by source.

    For the region R_c of class c: s_c is the mean over R_c of the network's output channel c; the
    contribution of R_c is the mean over its pixels of Σ_k ∂s_c/∂x(x_k) · Δ_k along the source's path, then
    relu (UAAFusion, arXiv 2502.01467, attribution of regions; Δ_k = I / K on the straight path).

    All sources, path points and images go through the network in one batch. The scores of different images
    and points depend on different inputs, so the gradient of their sum holds each one's gradient: one
    backward serves them all, and it may serve another class in every image. So there are as many backwards
    as the richest image has classes, however many the batch has.

    Args:
        task: Segmentation network in evaluation mode; output (B, K, H, W).
        paths: One path per source, points (P, B, C, H, W).
        regions: Class of every pixel, (B, H, W) int64; values outside 0..K-1 belong to no region.
        scope: ``"image"``: means over each image's own region; ``"batch"``: over the class's pixels in the
            whole batch, as the authors' code does, so that an image's weights depend on its neighbours.
        megapixels: Most pixels pushed through the network at once, in millions; bounds the memory.

    Returns:
        Scores (B, N, K) with the regions.
    """
    count, steps = len(paths), paths[0].points.shape[0]
    batch = regions.shape[0]
    # (N, P, B, C, H, W) → one long batch, cut into chunks that end between path points.
    points = torch.cat([path.points for path in paths])
    increments = torch.cat([path.increments for path in paths])
    per_chunk = max(1, int(megapixels * 1e6 / regions.numel()))
    contributions: list[Tensor] = []
    for x, dx in zip(points.split(per_chunk), increments.split(per_chunk), strict=True):
        contributions.append(_contributions(task, x, dx, regions, scope))
    by_point = torch.cat(contributions)  # (N·P, B, K)
    scores = by_point.view(count, steps, batch, -1).sum(dim=1).relu()
    return RegionAttribution(scores.permute(1, 0, 2).contiguous(), regions)


def _contributions(task: TaskNetwork, points: Tensor, increments: Tensor, regions: Tensor, scope: str) -> Tensor:
    """Signed contribution of every region at every path point, (P, B, K)."""
    steps, batch = points.shape[:2]
    images = torch.arange(batch, device=points.device)
    with torch.enable_grad():
        x = points.flatten(0, 1).detach().requires_grad_()
        output = task(x)
        output = output.view(steps, batch, *output.shape[1:])  # (P, B, K, H, W)
        count = output.shape[2]
        result = points.new_zeros(steps, batch, count)
        sizes = torch.stack([(regions == c).sum(dim=(1, 2)) for c in range(count)], dim=1)  # (B, K)
        rounds = _rounds(sizes)
        for number, classes in enumerate(rounds):
            # Class `classes[b]` of image b; an image whose classes are all done contributes nothing.
            region = ((regions == classes[:, None, None]) & (classes >= 0)[:, None, None]).to(points.dtype)
            share = region / _pixels(sizes, classes, scope)
            score = (output[:, images, classes.clamp_min(0)] * share).sum()
            (gradient,) = torch.autograd.grad(score, x, retain_graph=number + 1 < len(rounds))
            flow = (gradient.view_as(points) * increments).sum(dim=2)  # over channels → (P, B, H, W)
            contribution = (flow * share).sum(dim=(2, 3)).detach()  # (P, B)
            result.scatter_add_(2, classes.clamp_min(0).expand(steps, -1)[..., None], contribution[..., None])
    if scope == "batch":  # a class has one region in the whole batch: one value for all images that have it
        result = result.sum(dim=1, keepdim=True) * (sizes > 0)
    return result


def _rounds(sizes: Tensor) -> list[Tensor]:
    """In round r the r-th class that each image has, (B,); -1 where it has no more."""
    present = [row.nonzero()[:, 0].tolist() for row in sizes]
    most = max((len(classes) for classes in present), default=0)
    return [torch.tensor([c[r] if r < len(c) else -1 for c in present], device=sizes.device) for r in range(most)]


def _pixels(sizes: Tensor, classes: Tensor, scope: str) -> Tensor:
    """Pixels of each image's current region, (B, 1, 1): its own, or the class's in the whole batch."""
    counted = sizes if scope == "image" else sizes.sum(dim=0, keepdim=True).expand_as(sizes)
    return counted.gather(1, classes.clamp_min(0)[:, None]).clamp_min(1)[..., None]
