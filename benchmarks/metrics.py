"""Times the ten metrics that every table has by default, against the route of published evaluators.

The reference is written below as such evaluators are: numpy for statistics and histograms, ``scipy.signal.convolve2d``
for Sobel and the windows of VIF, scikit-image for SSIM, one pair at a time, in float64. ``separable`` is the same with
separable filters of ``scipy.ndimage`` for VIF, for comparison with a faster reference. All values are compared in the
same run; the script exits with 1 if one differs by more than 1e-9, relatively.

It then measures the growth with the number of pixels, several methods against the same sources (`score`), which share
what depends on the sources, and several pairs in two threads (`score_scenes`). Runs are interleaved. Ratios are
computed from medians and from minima of wall time, and from CPU time of all threads, which other work on the machine
affects least.

Run: python benchmarks/metrics.py [--height N] [--width N] [--repeats N] [--threads N] [--pairs N]
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import correlate1d
from scipy.signal import convolve2d
from skimage.metrics import structural_similarity
from times import TIMES_HEAD, times_beside
from torch import Tensor

import fusekit
from fusekit.evaluation.scoring import score, score_scenes
from fusekit.interfaces.config import ComponentRef
from fusekit.interfaces.metric import Metric, MetricValue
from fusekit.model.assembly import Builder
from fusekit.plugin.registry import registry

Array = NDArray[np.float64]

REFERENCE = "published route"
TOLERANCE = 1e-9


def entropy(image: Array) -> float:
    counts, _ = np.histogram(image, bins=256, range=(0, 256))
    share = counts[counts > 0] / counts.sum()
    return float(-np.sum(share * np.log2(share)))


def mutual_information(first: Array, second: Array) -> float:
    joint, _, _ = np.histogram2d(first.ravel(), second.ravel(), bins=256, range=((0, 256), (0, 256)))
    joint = joint / joint.sum()
    expected = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    occupied = joint > 0
    return float(np.sum(joint[occupied] * np.log2(joint[occupied] / expected[occupied])))


def correlation(first: Array, second: Array) -> float:
    first, second = first - np.mean(first), second - np.mean(second)
    return float(np.sum(first * second) / np.sqrt(np.sum(first**2) * np.sum(second**2)))


def gaussian(size: int, sigma: float) -> Array:
    rows, columns = np.mgrid[-(size // 2) : size // 2 + 1, -(size // 2) : size // 2 + 1]
    window = np.exp(-(rows**2 + columns**2) / (2.0 * sigma**2))
    return window / window.sum()


def convolved(image: Array, size: int) -> Array:
    return convolve2d(image, gaussian(size, size / 5.0), mode="valid")


def separated(image: Array, size: int) -> Array:
    taps = gaussian(size, size / 5.0).sum(axis=0)
    half = size // 2
    return correlate1d(correlate1d(image, taps, axis=0), taps, axis=1)[half:-half, half:-half]


def vif(reference: Array, test: Array, smooth: Callable[[Array, int], Array]) -> float:
    epsilon = 1e-10
    preserved = available = 0.0
    for scale in range(1, 5):
        size = 2 ** (4 - scale + 1) + 1
        if scale > 1:
            reference, test = smooth(reference, size)[::2, ::2], smooth(test, size)[::2, ::2]
        mean_1, mean_2 = smooth(reference, size), smooth(test, size)
        variance_1 = np.maximum(smooth(reference * reference, size) - mean_1 * mean_1, 0)
        variance_2 = np.maximum(smooth(test * test, size) - mean_2 * mean_2, 0)
        covariance = smooth(reference * test, size) - mean_1 * mean_2
        gain = covariance / (variance_1 + epsilon)
        residue = variance_2 - gain * covariance
        gain[variance_1 < epsilon] = 0
        residue[variance_1 < epsilon] = variance_2[variance_1 < epsilon]
        variance_1[variance_1 < epsilon] = 0
        gain[variance_2 < epsilon] = 0
        residue[variance_2 < epsilon] = 0
        residue[gain < 0] = variance_2[gain < 0]
        gain[gain < 0] = 0
        residue[residue <= epsilon] = epsilon
        preserved += np.sum(np.log10(1 + gain * gain * variance_1 / (residue + 2.0)))
        available += np.sum(np.log10(1 + variance_1 / 2.0))
    return float(preserved / available)


def edges(image: Array) -> tuple[Array, Array]:
    kernel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=np.float64)
    padded = np.pad(image, 1, mode="edge")
    across = convolve2d(padded, kernel[::-1, ::-1], mode="valid")
    down = convolve2d(padded, kernel.T[::-1, ::-1], mode="valid")
    angle = np.full_like(image, np.pi / 2)
    sloped = across != 0
    angle[sloped] = np.arctan(down[sloped] / across[sloped])
    return np.sqrt(across**2 + down**2), angle


def qabf(first: Array, second: Array, fused: Array) -> float:
    strength_f, angle_f = edges(fused)
    kept = weights = 0.0
    for source in (first, second):
        strength, angle = edges(source)
        stronger = np.maximum(strength, strength_f)
        ratio = np.where(stronger > 0, np.minimum(strength, strength_f) / np.where(stronger > 0, stronger, 1), 1)
        turn = 1 - np.abs(angle - angle_f) / (np.pi / 2)
        quality = 0.9994 / (1 + np.exp(-15 * (ratio - 0.5))) * 0.9879 / (1 + np.exp(-22 * (turn - 0.8)))
        kept += np.sum(quality * strength)
        weights += np.sum(strength)
    return float(kept / weights)


def ssim(source: Array, fused: Array) -> float:
    full: Array
    _, full = structural_similarity(
        source, fused, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, full=True
    )
    return float(full[5:-5, 5:-5].mean())


def published(fused: Array, first: Array, second: Array, smooth: Callable[[Array, int], Array]) -> dict[str, float]:
    """The ten metrics as a published evaluator computes them."""
    down, across = np.gradient(fused)
    return {
        "strict.en": entropy(fused),
        "strict.sd": float(np.std(fused)),
        "strict.sf": math.sqrt(np.mean(np.diff(fused, axis=1) ** 2) + np.mean(np.diff(fused, axis=0) ** 2)),
        "strict.ag": float(np.mean(np.sqrt((across**2 + down**2) / 2))),
        "strict.mi": mutual_information(first, fused) + mutual_information(second, fused),
        "strict.cc": (correlation(first, fused) + correlation(second, fused)) / 2,
        "strict.scd": correlation(fused - second, first) + correlation(fused - first, second),
        "strict.vif": vif(first, fused, smooth) + vif(second, fused, smooth),
        "strict.qabf": qabf(first, second, fused),
        "strict.ssim": ssim(first, fused) + ssim(second, fused),
    }


def scene(height: int, width: int, seed: int) -> Tensor:
    """An 8-bit image with shapes, slopes and noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    image = 90.0 + 60.0 * np.sin(rows / (5 + 2 * seed)) * np.cos(columns / (40 - seed)) + 40.0 * columns / width
    image[height // 4 : height // 2, width // 3 : width // 2] += 60.0
    image += rng.normal(0.0, 3.0, image.shape)
    return torch.from_numpy(np.clip(np.rint(image), 0, 255).astype(np.uint8))


def mean(*images: Tensor) -> Tensor:
    return torch.stack(images).double().mean(dim=0).round().to(torch.uint8)


class Clock:
    """Wall time and CPU time of runs by name."""

    def __init__(self) -> None:
        self.wall: dict[str, list[float]] = {}
        self.cpu: dict[str, list[float]] = {}

    def run(self, name: str, work: Callable[[], object]) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        self.cpu.setdefault(name, []).append(time.process_time() - cpu)
        self.wall.setdefault(name, []).append(time.perf_counter() - wall)

    def print(self, reference: str, names: list[str]) -> None:
        print(f"{'':<18} {TIMES_HEAD}")
        for name in names:
            print(times_beside(reference, name, self.wall, self.cpu))


def compare_values(found: dict[str, MetricValue], expected: dict[str, float]) -> bool:
    """Prints both values of each metric; whether they are equal up to the tolerance."""
    equal = True
    print(f"{'':<12} {'fusekit':>20} {REFERENCE:>20} {'difference':>12}")
    for key, value in expected.items():
        difference = abs(found[key].value - value) / abs(value)
        equal &= difference <= TOLERANCE
        print(f"{key:<12} {found[key].value:>20.13f} {value:>20.13f} {difference:>12.1e}")
    return equal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    fusekit.keep_memory()  # as the command line does
    builder = Builder((), None, registry())
    names = [spec.name for spec in registry().for_tables("metric")]
    metrics: dict[str, Metric] = {name: builder.build("metric", ComponentRef(use=name)) for name in names}

    sources = (scene(options.height, options.width, 1), scene(options.height, options.width, 2))
    fused = mean(*sources)
    arrays = tuple(image.numpy().astype(np.float64) for image in (fused, *sources))
    print(f"one pair of {options.height}x{options.width}, {options.threads} threads of torch")
    equal = compare_values(score(metrics, [fused], sources)[0], published(*arrays, convolved))
    clock = Clock()
    for _ in range(options.repeats):
        clock.run(REFERENCE, lambda: published(*arrays, convolved))
        clock.run("separable", lambda: published(*arrays, separated))
        for _ in range(3):
            clock.run("fusekit", lambda: score(metrics, [fused], sources))
            clock.run("fusekit, 1 thread", lambda: score(metrics, [fused], sources, threads=1))
    clock.print(REFERENCE, [REFERENCE, "separable", "fusekit", "fusekit, 1 thread"])

    print("\nsix methods against the same sources")
    methods = [fused, *sources, torch.maximum(*sources), mean(fused, sources[0]), mean(fused, sources[1])]
    clock = Clock()
    for _ in range(options.repeats):
        clock.run("one by one", lambda: [score(metrics, [method], sources) for method in methods])
        clock.run("together", lambda: score(metrics, methods, sources))
    clock.print("one by one", ["one by one", "together"])

    print(f"\n{options.pairs} pairs, each with its own sources: one by one, or in parallel")
    pairs = [([fused.clone()], [source.clone() for source in sources], None) for _ in range(options.pairs)]
    clock = Clock()
    for _ in range(options.repeats):
        clock.run("one thread", lambda: [score(metrics, *pair, threads=1) for pair in pairs])
        clock.run("threads", lambda: [score(metrics, *pair, threads=options.threads) for pair in pairs])
        clock.run("score_scenes", lambda: score_scenes(metrics, pairs, options.threads))
    clock.print("one thread", ["one thread", "threads", "score_scenes"])

    print("\ngrowth with the number of pixels: minimum time per megapixel")
    for factor in (1, 2, 4, 8):
        height, width = 120 * factor, 160 * factor
        larger = (scene(height, width, 1), scene(height, width, 2))
        clock = Clock()
        result = mean(*larger)
        for _ in range(options.repeats + 1):
            clock.run("fusekit", lambda result=result, pair=larger: score(metrics, [result], pair))
        wall, cpu = (min(times["fusekit"][1:]) for times in (clock.wall, clock.cpu))
        print(
            f"{height:>5}x{width:<5} {wall:7.3f} s, {wall / height / width * 1e6:6.3f} s per megapixel, CPU {cpu:.3f} s"
        )
    sys.exit(0 if equal else 1)


if __name__ == "__main__":
    main()
