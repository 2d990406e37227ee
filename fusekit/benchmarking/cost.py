"""What a method costs: parameters, operations, time and memory, measured in a process of its own."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from fusekit.benchmarking.jobs import Setting, prepared
from fusekit.benchmarking.methods import failure
from fusekit.interfaces.dataset import Sample

NOTE = (
    "The time is the median over the repetitions of fusing one scene of random images, after one that is not timed; "
    "the spread is half the range between the quartiles. GFLOP are counted by torch (multiplications and additions "
    "separately); operations that it does not count are missing, such as those of fusion rules. The memory is what the "
    "process used at most beyond what it used before it fused."
)


def measure(
    setting: Setting, methods: Sequence[tuple[str, str]], size: tuple[int, int], repeats: int
) -> dict[str, Any]:
    """The cost of methods as plain data.

    Args:
        setting: The benchmark.
        methods: The methods: of each, a dataset to which it applies, and its name.
        size: Height and width of the images.
        repeats: Number of timed repetitions.
    """
    rows = []
    for dataset, name in methods:
        # A new process for each: the peak of its memory is that of this method.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            try:
                rows.append(pool.submit(_cost, setting, dataset, name, size, repeats).result())
            except BrokenProcessPool:
                rows.append({**_unknown(name), "error": "its process was killed, probably because memory ran out"})
    return {
        "device": _device(setting),
        "size": list(size),
        "repeats": repeats,
        "note": NOTE,
        "rows": rows,
    }


def _cost(setting: Setting, dataset: str, name: str, size: tuple[int, int], repeats: int) -> dict[str, Any]:
    bench = prepared(setting)
    method = bench.methods(dataset)[name]
    system = method.system
    assert system is not None
    generator = torch.Generator().manual_seed(0)
    sample = Sample("cost", tuple(torch.rand(1, *size, generator=generator) for _ in bench.entry(dataset).roles))
    row = {**_unknown(name), "parameters": sum(p.numel() for part in _used(system) for p in part.parameters())}
    try:
        before = _peak(bench.device)
        method.fuse(sample)
        seconds = list(_timed(method, sample, bench.device, repeats))
        row["peak_mib"] = max(0.0, _peak(bench.device) - before) / 2**20
        with FlopCounterMode(display=False) as counter:
            method.fuse(sample)
        row["gflops"] = counter.get_total_flops() / 1e9 or None
    except Exception as error:
        return {**row, "error": failure(error)}
    row["seconds"] = statistics.median(seconds)
    if len(seconds) > 1:
        quartiles = statistics.quantiles(seconds, n=4, method="inclusive")
        row["spread"] = (quartiles[2] - quartiles[0]) / 2
    return row


def _unknown(name: str) -> dict[str, Any]:
    """A row without values."""
    return {"method": name, **dict.fromkeys(("parameters", "gflops", "seconds", "spread", "peak_mib"))}


def _used(system: Any) -> list[torch.nn.Module]:
    """The parts that fuse: the backbone, and the task network if it guides the backbone."""
    return [system.backbone, *([system.task] if system.guided and system.task is not None else [])]


def _timed(method: Any, sample: Sample, device: torch.device, repeats: int) -> Iterator[float]:
    for _ in range(repeats):
        start = time.perf_counter()
        method.fuse(sample)  # ends with a copy to the CPU, so the device has finished
        yield time.perf_counter() - start


def _peak(device: torch.device) -> float:
    """Largest memory so far in bytes: of the GPU, or of this process."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(used if sys.platform == "darwin" else used * 1024)


def _device(setting: Setting) -> str:
    if setting.device.startswith("cuda"):
        return torch.cuda.get_device_name(setting.device)
    return f"{setting.device}, {setting.threads} thread{'s' if setting.threads > 1 else ''}"
