"""Compares batched region attribution with plain loops, on one 256x256 image with five classes and a training batch.

All of them compute the same numbers. The references are:

- ``loop, gradient of the input``: one class and one path point at a time, each with one forward pass and one
  `torch.autograd.grad` with respect to the input.
- ``loop, backward()``: the same with ``score.backward()`` and ``x.grad``, as scripts are commonly written; it
  also computes the gradient of every parameter and discards it.
- ``loop, a class of the batch at a time``: all images of the batch in each pass, as in UAAFusion's release.

docs/decisions/0010-attribution-in-reverse.md derives what batching can and cannot save.

Run: python benchmarks/attribution.py [--architecture NAME] [--encoder NAME] [--repeat N]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from fusekit.interfaces import BuildContext, SegmentationNetwork
from fusekit_datasets.config import MSRS_TABLE
from fusekit_tasks.config import SmpConfig
from fusekit_tasks.segmentation import SmpSegmenter
from fusekit_uaafusion.attribution import TaskGuidance

STEPS = 5


def loop(net: SegmentationNetwork, images: Tensor, regions: Tensor, *, backward: bool) -> Tensor:
    """Region attribution by its definition: one image, one class and one path point at a time; scores (B, K)."""
    scores = torch.zeros(images.shape[0], len(net.classes))
    for b in range(images.shape[0]):
        image = images[b : b + 1]
        for c in regions[b].unique().tolist():
            region = regions[b] == c
            for k in range(1, STEPS + 1):
                x = (image * k / STEPS).requires_grad_()
                score = net(x)[0, c][region].mean()
                if backward:
                    score.backward()
                    gradient = x.grad
                    assert gradient is not None
                else:
                    (gradient,) = torch.autograd.grad(score, x)
                scores[b, c] += (gradient * image)[0, 0][region].mean() / STEPS
    return scores.relu()


def loop_over_batch(net: SegmentationNetwork, images: Tensor, regions: Tensor) -> Tensor:
    """Region attribution of all images of the batch at once: one class and one path point at a time."""
    scores = torch.zeros(images.shape[0], len(net.classes))
    for c in regions.unique().tolist():
        region = (regions == c).float()
        share = region / region.sum(dim=(1, 2), keepdim=True).clamp_min(1)
        for k in range(1, STEPS + 1):
            x = (images * k / STEPS).requires_grad_()
            (gradient,) = torch.autograd.grad((net(x)[:, c] * share).sum(), x)
            scores[:, c] += ((gradient * images)[:, 0] * share).sum(dim=(1, 2)) / STEPS
    return scores.relu()


def batched(net: SegmentationNetwork, images: Tensor, regions: Tensor) -> Tensor:
    """Region attribution as fusekit computes it."""
    return TaskGuidance(net, (images,), regions).attribution().scores[:, 0]


def best_time(work: Callable[[], Tensor], repeat: int) -> tuple[float, Tensor]:
    """Shortest time of several runs after a warm-up run, and the result."""
    result = work()
    times = []
    for _ in range(repeat):
        began = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - began)
    return min(times), result


def bands(size: int, classes: list[int]) -> Tensor:
    """Label map (size, size) with vertical bands of equal width, one for each class."""
    column = torch.tensor(classes)[torch.arange(size) * len(classes) // size]
    return column.expand(size, size)


def compare(title: str, ours: Callable[[], Tensor], references: dict[str, Callable[[], Tensor]], repeat: int) -> None:
    """Prints times, ratios and differences."""
    took, result = best_time(ours, repeat)
    print(f"\n{title}")
    print(f"  {'batched':<36} {took:7.3f} s")
    for name, work in references.items():
        slower, reference = best_time(work, repeat)
        off = float((result - reference).abs().max() / reference.abs().max())
        print(f"  {name:<36} {slower:7.3f} s   ratio {slower / took:5.2f}   relative difference {off:.1e}")


def main() -> None:
    """Prints the comparison for a single image and for a training batch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="deeplabv3plus")
    parser.add_argument("--encoder", default="mobilenet_v2")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()

    torch.manual_seed(0)
    config = SmpConfig(architecture=options.architecture, encoder=options.encoder)
    net = SmpSegmenter(config, BuildContext(classes=MSRS_TABLE)).eval()
    print(f"{options.architecture} on {options.encoder}, K = {STEPS}, {torch.get_num_threads()} threads")

    image, regions = torch.rand(1, 1, 256, 256), bands(256, [0, 1, 2, 3, 4])[None]
    compare(
        "one 256x256 image, five classes",
        lambda: batched(net, image, regions),
        {
            "loop, gradient of the input": lambda: loop(net, image, regions, backward=False),
            "loop, backward()": lambda: loop(net, image, regions, backward=True),
        },
        options.repeat,
    )

    images = torch.rand(8, 1, 64, 64)
    mixed = torch.stack([bands(64, [0, 1 + b % 8, 1 + (b + 3) % 8]) for b in range(8)])
    compare(
        "a training batch: eight 64x64 patches, three classes in each, nine in the batch",
        lambda: batched(net, images, mixed),
        {
            "loop, an image at a time": lambda: loop(net, images, mixed, backward=False),
            "loop, a class of the batch at a time": lambda: loop_over_batch(net, images, mixed),
        },
        options.repeat,
    )


if __name__ == "__main__":
    main()
