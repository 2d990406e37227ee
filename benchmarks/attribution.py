"""Region attribution: batched path points against the plain loop, on one 256x256 image with five classes.

Both give the same numbers. Named references:

- ``loop, gradient of the input``: a class at a time, a path point at a time, one forward and one
  `torch.autograd.grad` with respect to the input each.
- ``loop, backward()``: the same with ``score.backward()`` and ``x.grad``, as scripts are commonly written; it
  also computes the gradient of every weight and throws it away.

Run: python benchmarks/attribution.py [--architecture NAME] [--encoder NAME] [--size N] [--repeat N]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from fusekit.data.config import MSRS_TABLE
from fusekit.guidance.task import TaskGuidance
from fusekit.interfaces import BuildContext, SegmentationNetwork
from fusekit_tasks.config import SmpConfig
from fusekit_tasks.segmentation import SmpSegmenter

STEPS = 5
CLASSES = 5


def loop(net: SegmentationNetwork, image: Tensor, regions: Tensor, *, backward: bool) -> Tensor:
    """The definition of region attribution, step by step; scores (K,)."""
    scores = torch.zeros(len(net.classes))
    for c in regions.unique().tolist():
        region = regions[0] == c
        for k in range(1, STEPS + 1):
            x = (image * k / STEPS).requires_grad_()
            score = net(x)[0, c][region].mean()
            if backward:
                score.backward()
                gradient = x.grad
                assert gradient is not None
            else:
                (gradient,) = torch.autograd.grad(score, x)
            scores[c] += (gradient * image)[0, 0][region].mean() / STEPS
    return scores.relu()


def batched(net: SegmentationNetwork, image: Tensor, regions: Tensor) -> Tensor:
    """What fusekit does."""
    return TaskGuidance(net, (image,), regions).attribution().scores[0, 0]


def best_time(work: Callable[[], Tensor], repeat: int) -> tuple[float, Tensor]:
    """Shortest of several runs, after one to warm up, and the result."""
    result = work()
    times = []
    for _ in range(repeat):
        began = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - began)
    return min(times), result


def main() -> None:
    """Prints the times, the ratios and the largest difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="deeplabv3plus")
    parser.add_argument("--encoder", default="mobilenet_v2")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()

    torch.manual_seed(0)
    config = SmpConfig(architecture=options.architecture, encoder=options.encoder)
    net = SmpSegmenter(config, BuildContext(classes=MSRS_TABLE)).eval()
    image = torch.rand(1, 1, options.size, options.size)
    # Five upright bands, one class each.
    bands = torch.arange(options.size) * CLASSES // options.size
    regions = bands.expand(1, options.size, options.size).contiguous()

    ours, result = best_time(lambda: batched(net, image, regions), options.repeat)
    print(f"{options.architecture} on {options.encoder}, {options.size}x{options.size}, {CLASSES} classes, K = {STEPS}")
    print(f"{torch.get_num_threads()} threads")
    print(f"batched                      {ours:7.3f} s")
    for name, backward in (("loop, gradient of the input", False), ("loop, backward()", True)):
        took, reference = best_time(lambda b=backward: loop(net, image, regions, backward=b), options.repeat)
        off = float((result - reference).abs().max() / reference.abs().max())
        print(
            f"{name:<28} {took:7.3f} s   ratio {took / ours:4.2f}   largest difference {off:.1e} of the largest score"
        )


if __name__ == "__main__":
    main()
