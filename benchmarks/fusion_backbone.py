"""Compares inference of ReFusion's fusion network at 480x640 with the plainest correct implementation.

Both have the same weights and return the same image up to rounding; the script checks this and exits with 1 otherwise.

- ``plain``: the reference, in `benchmarks/plain_refusion.py`: memory order NCHW, layer norm after a reshape to
  (B, HW, C), q and k normalised over the pixels, two matrix products per head.
- ``plugin, fused`` and ``plugin, released``: `refusion.network` with its two orders of arithmetic.

Runs are interleaved. Ratios, which depend less on the machine, are computed from medians and from minima. ``CPU time``
is that of all threads of the process; other work on the machine affects it least.

Run: python benchmarks/fusion_backbone.py [--height N] [--width N] [--repeats N] [--threads N] [--profile]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import plain_refusion as plain
import torch
from times import TIMES_HEAD, times_beside
from torch import Tensor

from fusekit_refusion.config import NetworkConfig
from fusekit_refusion.network import FusionNetwork

REFERENCE = "plain"
TOLERANCE = 1e-5  # largest difference of a pixel whose range is [0, 1]

FAMILIES = {
    "convolution": ("conv",),
    "norm": ("layer_norm", "var", "mean", "sqrt", "linalg_vector_norm"),
    "attention": ("bmm", "matmul", "softmax"),
    "copies": ("copy_", "cat", "fill_", "empty"),
}
"""Words in the operators' names for each family; all other operators count as elementwise."""


def networks(sources: tuple[Tensor, Tensor]) -> dict[str, Callable[[], Tensor]]:
    """All implementations by name, with the same weights and bound to the images."""
    torch.manual_seed(0)
    fused = FusionNetwork(NetworkConfig()).eval()
    released = FusionNetwork(NetworkConfig(arithmetic="released")).eval()
    released.load_state_dict(fused.state_dict())
    reference = plain.FusionNetwork(NetworkConfig()).eval()
    plain.copy_weights(fused, reference)
    return {
        REFERENCE: lambda: reference(sources),
        "plugin, released": lambda: released(sources).image,
        "plugin, fused": lambda: fused(sources).image,
    }


def print_profile(name: str, work: Callable[[], Tensor]) -> None:
    """Prints the share of time of each family of operators, and the operators that take most time."""
    with torch.profiler.profile() as profile:
        work()
    events = profile.key_averages()
    shares = dict.fromkeys([*FAMILIES, "elementwise"], 0.0)
    for event in events:
        family = next((f for f, words in FAMILIES.items() if any(word in event.key for word in words)), "elementwise")
        shares[family] += event.self_cpu_time_total
    total = sum(shares.values())
    print(f"\n{name}: " + ", ".join(f"{family} {share / total:.0%}" for family, share in shares.items()))
    print(events.table(sort_by="self_cpu_time_total", row_limit=12, max_name_column_width=40))


def main() -> None:
    """Compares the images, then prints times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--repeats", type=int, default=7, help="timed runs of each implementation")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--profile", action="store_true", help="print the operators that take most time")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    images = torch.rand(2, 1, 1, options.height, options.width, generator=torch.Generator().manual_seed(1))
    works = networks((images[0], images[1]))
    torch.set_grad_enabled(False)
    print(f"{options.height}x{options.width}, one pair of images, {options.repeats} repeats")
    print(f"torch {torch.__version__}, cpu, {torch.get_num_threads()} threads")
    expected = works[REFERENCE]()  # also warms up, as the following runs do
    differences = {name: float((work() - expected).abs().max()) for name, work in works.items()}

    wall: dict[str, list[float]] = {name: [] for name in works}
    cpu: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(options.repeats):
        for name, work in works.items():
            began, used = time.perf_counter(), time.process_time()
            work()
            wall[name].append(time.perf_counter() - began)
            cpu[name].append(time.process_time() - used)

    print(f"\n{'':<18} {TIMES_HEAD} {'difference':>11}")
    for name in works:
        print(f"{times_beside(REFERENCE, name, wall, cpu)} {differences[name]:11.1e}")
    if options.profile:
        for name, work in works.items():
            print_profile(name, work)
    if max(differences.values()) > TOLERANCE:
        sys.exit(f"\nthe images differ by {max(differences.values()):.1e}, more than {TOLERANCE:.0e}")


if __name__ == "__main__":
    main()
