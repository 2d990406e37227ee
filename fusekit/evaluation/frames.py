"""Metrics of video: what happens from one frame of a fused video to the next, compared with its sources."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module

import numpy as np
import torch
from torch import Tensor

from fusekit.errors import UsageError
from fusekit.evaluation.grey import grey8
from fusekit.interfaces.metric import MetricValue

Flow = Callable[[Tensor, Tensor], Tensor]
"""Optical flow from one (H, W) uint8 frame to another: (2, H, W) pixels, to the right and down."""

WARP_ERROR, CHANGE_AGREEMENT = "flow-warp error", "change agreement"


def score_frames(
    frames: Iterable[tuple[Tensor, Sequence[Tensor]]], flow: Flow | None = None
) -> Iterator[dict[str, MetricValue]]:
    """Scores each transition from one frame to the next; only two frames are held at a time.

    Args:
        frames: For each frame in order, the fused image and the sources, each (H, W) or (1 or 3, H, W), uint8 or
            floating point in [0, 1], all of the same size. They are converted with `grey8`.
        flow: Estimator of optical flow (default: `dis_flow`).

    Yields:
        The `flow_warp_error` and the `change_agreement` of each transition by name, so one less than there are frames.

    Raises:
        UsageError: The default flow is needed and OpenCV is not installed.
        ValueError: Sizes or numbers of sources differ between frames.
    """
    grey = ((grey8(fused), [grey8(source) for source in sources]) for fused, sources in frames)
    for (fused, sources), (next_fused, next_sources) in itertools.pairwise(grey):
        if len({image.shape for image in (fused, next_fused, *sources, *next_sources)}) > 1:
            raise ValueError("frames of a video differ in size")
        errors = tuple(
            flow_warp_error(fused, next_fused, source, next_source, flow or dis_flow)
            for source, next_source in zip(sources, next_sources, strict=True)
        )
        yield {
            WARP_ERROR: MetricValue(math.fsum(errors) / len(errors), errors),
            CHANGE_AGREEMENT: MetricValue(change_agreement(fused, next_fused, sources, next_sources)),
        }


def flow_warp_error(fused: Tensor, next_fused: Tensor, source: Tensor, next_source: Tensor, flow: Flow) -> float:
    """Mean squared difference of a fused frame and the next one, warped to it by the motion of a source.

    Levels are in [0, 1]. Pixels that are occluded or at motion boundaries, by the flow to the next frame and back, and
    pixels that move out of the image, are not counted. NaN if no pixel is left. Lower is better. It measures flicker,
    and grows with contrast: a constant video has 0.

    Source: Lai, Huang, Wang, Shechtman, Yumer, Yang, "Learning blind video temporal consistency", ECCV 2018, with the
    occlusion test of Ruder, Dosovitskiy, Brox, "Artistic style transfer for videos", GCPR 2016. There, the flow is that
    of the one input video; `score_frames` takes the mean over the sources.

    Args:
        fused: (H, W) uint8.
        next_fused: The next frame.
        source: Frame of the source at the time of ``fused``.
        next_source: The next frame of the source.
        flow: Estimator of optical flow.
    """
    there, back = flow(source, next_source), flow(next_source, source)
    returned, inside = _warped(back, there)
    length = there.square().sum(dim=0)
    visible = (there + returned).square().sum(dim=0) <= 0.01 * (length + returned.square().sum(dim=0)) + 0.5
    slopes = sum(part.square().sum(dim=0) for part in torch.gradient(there, dim=(1, 2)))
    counted = visible & inside & (slopes <= 0.01 * length + 0.002)
    moved, _ = _warped(next_fused[None].to(torch.float64) / 255.0, there)
    difference = (moved[0] - fused.to(torch.float64) / 255.0)[counted]
    return float(difference.square().mean())  # NaN for no pixel


def change_agreement(
    fused: Tensor, next_fused: Tensor, sources: Sequence[Tensor], next_sources: Sequence[Tensor]
) -> float:
    """Correlation of the changes of a fused video with those of its sources, in -1 to 1; higher is better.

    ``r(|F' - F|, max_i |S_i' - S_i|)`` over pixels: the fused video should change where a source changes, and only
    there. It needs no flow and does not depend on the strength of the changes. NaN if nothing changes, or everything by
    the same amount. This is fusekit's own definition.

    Args:
        fused: (H, W) uint8.
        next_fused: The next frame.
        sources: Frames of the sources at the time of ``fused``.
        next_sources: The next frames of the sources.
    """
    changes = [(after.double() - before.double()).abs() for before, after in zip(sources, next_sources, strict=True)]
    pair = torch.stack(((next_fused.double() - fused.double()).abs(), torch.stack(changes).amax(dim=0))).flatten(1)
    centred = pair - pair.mean(dim=1, keepdim=True)
    power = float(centred[0].square().sum()) * float(centred[1].square().sum())
    return float(torch.dot(*centred)) / math.sqrt(power) if power > 0.0 else math.nan


def dis_flow(first: Tensor, second: Tensor) -> Tensor:
    """Optical flow by OpenCV's dense inverse search with the preset "medium"; on a CPU.

    Source: Kroeger, Timofte, Dai, Van Gool, "Fast optical flow using dense inverse search", ECCV 2016.

    Args:
        first: (H, W) uint8; sides from 12 pixels.
        second: The frame to which the pixels of ``first`` move.

    Returns:
        (2, H, W) float64, to the right and down, on the device of ``first``.

    Raises:
        UsageError: OpenCV is not installed.
    """
    try:
        cv2 = import_module("cv2")
    except ImportError as error:
        raise UsageError(
            "the flow-warp error needs the OpenCV package", hint="install it: pip install 'image-fusekit[align]'"
        ) from error
    estimator = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = np.asarray(estimator.calc(*(frame.cpu().contiguous().numpy() for frame in (first, second)), None))
    return torch.from_numpy(flow).permute(2, 0, 1).to(first.device, torch.float64)


def _warped(images: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Images (C, H, W) at the positions to which a flow (2, H, W) leads, and which of these are inside the image."""
    height, width = flow.shape[-2:]
    across = torch.arange(width, dtype=flow.dtype, device=flow.device) + flow[0]
    down = torch.arange(height, dtype=flow.dtype, device=flow.device)[:, None] + flow[1]
    inside = (across >= 0) & (across <= width - 1) & (down >= 0) & (down <= height - 1)
    grid = torch.stack((2.0 * across / max(width - 1, 1) - 1.0, 2.0 * down / max(height - 1, 1) - 1.0), dim=-1)
    sampled = torch.nn.functional.grid_sample(
        images[None], grid[None], mode="bilinear", padding_mode="border", align_corners=True
    )
    return sampled[0], inside
