"""Runs the scenes of a benchmark in several processes, or the share of one process under ``torchrun``."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import torch

from fusekit.benchmarking.file import BenchmarkFile
from fusekit.benchmarking.frozen import network
from fusekit.benchmarking.store import Store
from fusekit.benchmarking.workbench import SceneResult, Workbench
from fusekit.errors import RunError
from fusekit.pipeline.memory import keep_memory
from fusekit.plugin.loader import PluginPolicy
from fusekit.plugin.registry import registry, set_policy


@dataclass(frozen=True)
class Task:
    """One scene that is to be scored.

    Attributes:
        dataset: Name of the dataset.
        index: Index of the scene.
        part: ``scores``, ``downstream`` or ``robustness``.
        number: Number of the entry in that section of the file.
        severity: Named severity of the degradation.
        transform: Transform component.
    """

    dataset: str
    index: int
    part: str = "scores"
    number: int = 0
    transform: str = ""
    severity: str = ""


@dataclass(frozen=True)
class Setting:
    """What a process needs to set up its workbench.

    Attributes:
        plain: The benchmark as plain data.
        local_files: Python files whose components are added to the registry.
        policy: Which plugins may be loaded.
        store: Folder of the store.
        device: Device on which models fuse.
        threads: Number of threads of each process.
    """

    plain: dict[str, Any]
    local_files: tuple[Path, ...]
    policy: PluginPolicy
    store: Path
    device: str
    threads: int

    def workbench(self) -> Workbench:
        """A workbench in this process."""
        return Workbench(BenchmarkFile.from_dict(self.plain), Store(self.store), torch.device(self.device))


_bench: Workbench | None = None
"""The workbench of a worker process."""


def _begin(setting: Setting) -> None:
    global _bench
    _bench = prepared(setting)


def _end_with_parent() -> None:
    """Ends this process when its parent was killed; otherwise it would wait for tasks forever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def prepared(setting: Setting) -> Workbench:
    """The workbench of a new process, which loads the plugins that its parent has."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    keep_memory()
    torch.set_num_threads(setting.threads)
    set_policy(setting.policy)
    for path in setting.local_files:
        registry().add_local(path)
    return setting.workbench()


def _work(task: Task) -> Any:
    assert _bench is not None
    return perform(_bench, task)


def perform(bench: Workbench, task: Task) -> SceneResult:
    """Scores one scene."""
    if task.part == "robustness":
        return bench.score_degraded(task.number, task.transform, task.severity, task.index)
    if task.part == "downstream":
        return network(bench, task.number).scene(task.index)
    return bench.score_scene(task.dataset, task.index)


def results(setting: Setting, tasks: Sequence[Task], jobs: int, bench: Workbench) -> Iterator[tuple[Task, SceneResult]]:
    """Performs tasks, and yields each when it is finished.

    Args:
        setting: The benchmark.
        tasks: The tasks.
        jobs: Number of processes; with 1, they are performed in this one.
        bench: The workbench of this process.

    Raises:
        RunError: A process was killed.
    """
    if jobs == 1:
        for task in tasks:
            yield task, perform(bench, task)
        return
    with ProcessPoolExecutor(jobs, get_context("spawn"), _begin, (setting,)) as pool:
        waiting: dict[Future[Any], Task] = {}
        left = iter(tasks)
        try:
            while True:
                while len(waiting) < 2 * jobs and (following := next(left, None)) is not None:
                    waiting[pool.submit(_work, following)] = following
                if not waiting:
                    return
                for done in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(done), done.result()
        except BrokenProcessPool as error:
            raise RunError(
                "a process of the benchmark was killed, probably because memory ran out",
                hint="run the same command again: it resumes; fewer --jobs need less memory",
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def default_jobs(device: torch.device) -> int:
    """Number of processes: one per core, up to eight; one on a GPU, which the processes would share."""
    return max(1, min(8, _cores())) if device.type == "cpu" else 1


def threads_of(jobs: int) -> int:
    """Number of threads of each process."""
    return max(1, _cores() // jobs) if jobs > 1 else torch.get_num_threads()


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
