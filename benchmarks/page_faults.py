"""Compares retained heap memory with the C library's default: time, page faults, and peak memory.

Each job runs in its own process, alternately with the C library's default and after `fusekit.keep_memory()`. Time and
page faults are those of the job itself, without its imports. Times depend on other work on the machine, page faults
hardly do. Peak memory is that of the whole process.

- ``refusion``, ``uaafusion``: a pair of 480 × 640 pixels, fused by a network with random weights;
- ``tiles``: a pair of 512 × 640 pixels, fused by ReFusion's network in tiles of 256;
- ``threads``: four pairs of 240 × 320 pixels, fused by ReFusion's network in two threads;
- ``stream``: 60 frames of 480 × 640 pixels, fused by the Laplacian pyramid;
- ``run``: UAAFusion trained for two steps on a few rendered scenes, with its evaluation and report.

Run: python benchmarks/page_faults.py [--jobs NAME ...] [--rounds N] [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from times import TIMES_HEAD, times_beside

import fusekit
from fusekit.fusing.fusion_model import FusionModel
from fusekit.interfaces import FusionBackbone
from fusekit.model.system import FusionSystem
from fusekit.pipeline.memory import KEPT, described

WAYS = ("C library", "kept")
MEBI = 2**20


def pair(height: int, width: int, seed: int = 0) -> tuple[Any, Any]:
    """Two 8-bit images of noise added to a horizontal gradient."""
    chance = np.random.default_rng(seed)
    slope = np.linspace(0, 150, width)[None]
    return tuple((slope + chance.integers(0, 100, (height, width))).astype(np.uint8) for _ in range(2))  # type: ignore[return-value]


def model_of(backbone: Callable[[], FusionBackbone]) -> FusionModel:
    """A model with random weights from a fixed seed."""
    torch.manual_seed(0)
    return FusionModel(FusionSystem(backbone()))


def refusion() -> FusionBackbone:
    from fusekit_refusion.network import FusionNetwork

    return FusionNetwork()


def uaafusion() -> FusionBackbone:
    from fusekit_uaafusion.unfolding import UnfoldingBackbone

    return UnfoldingBackbone()


def fuse(backbone: Callable[[], FusionBackbone]) -> None:
    model_of(backbone).fuse(*pair(480, 640))


def tiles() -> None:
    model_of(refusion).fuse(*pair(512, 640), tile=256)


def threads() -> None:
    model = model_of(refusion)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda seed: model.fuse(*pair(240, 320, seed)), range(4)))


def stream() -> None:
    images = pair(480, 640)
    with fusekit.load("laplacian").stream() as frames:
        for _ in range(60):
            frames.fuse(*images)


def run() -> None:
    recipe = fusekit.Recipe.from_dict(
        {
            "schema": 1,
            "name": "run",
            "data": {
                "use": "scenes.streets",
                "params": {"train": 4, "val": 1, "test": 1, "height": 120, "width": 160},
            },
            "model": {
                "backbone": {"use": "uaafusion.unfolding"},
                "proposer": {"use": "uaafusion.attribution"},
                "guidance": {"use": "uaafusion.attribution_guidance"},
                "task": {"use": "tasks.smp"},
            },
            "train": {"strategy": {"use": "uaafusion.joint"}, "max_steps": 2, "batch": 2, "sampling": {"size": 96}},
            "evaluate": {"pictures": 0, "metrics": ["strict.en"], "baselines": []},
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        fusekit.run(recipe, runs=folder, device="cpu")


JOBS: dict[str, Callable[[], None]] = {
    "refusion": lambda: fuse(refusion),
    "uaafusion": lambda: fuse(uaafusion),
    "tiles": tiles,
    "threads": threads,
    "stream": stream,
    "run": run,
}
QUICK = ("refusion", "threads", "stream")


def measure(job: str, way: str) -> dict[str, float]:
    """Runs a job once and measures it; runs in the child process."""
    torch.set_num_threads(1)
    if way == "kept" and not fusekit.keep_memory():
        sys.exit(f"memory cannot be retained here: {described()}")
    used, began, cpu = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter(), time.process_time()
    JOBS[job]()
    found = {"wall": time.perf_counter() - began, "cpu": time.process_time() - cpu}
    after = resource.getrusage(resource.RUSAGE_SELF)
    found["faults"] = after.ru_minflt - used.ru_minflt
    found["peak"] = after.ru_maxrss / (MEBI if sys.platform == "darwin" else 1024)
    return found


def ask(job: str, way: str) -> dict[str, float]:
    """Measures a job in a child process whose environment sets no allocator."""
    chosen = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(chosen)}
    command = [sys.executable, __file__, "--child", way, "--jobs", job]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def main() -> None:
    """Measures all jobs, alternating the two ways, and prints two rows for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", nargs="+", choices=JOBS, help="jobs to measure (default: all)")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each job in each way")
    parser.add_argument("--quick", action="store_true", help=f"one round of {', '.join(QUICK)}")
    parser.add_argument("--child", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.jobs[0], options.child)))
        return
    jobs = options.jobs or (QUICK if options.quick else JOBS)
    print(f"torch {torch.__version__}, cpu, 1 thread; blocks below {KEPT // MEBI} MiB are retained")
    for job in jobs:
        found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for _ in range(1 if options.quick else options.rounds):
            for way in WAYS:
                found[way].append(ask(job, way))
        wall, cpu = ({way: [one[what] for one in found[way]] for way in WAYS} for what in ("wall", "cpu"))
        print(f"\n{job:<18} {TIMES_HEAD} {'faults':>9} {'peak':>9}")
        for way in WAYS:
            faults, peak = (statistics.median(one[what] for one in found[way]) for what in ("faults", "peak"))
            print(f"{times_beside('C library', way, wall, cpu)} {faults / 1000:7.0f} k {peak:5.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
