"""Writes the tables of a benchmark to a file in the format of its suffix."""

from __future__ import annotations

import os
from pathlib import Path

from fusekit.benchmarking.run import BenchmarkResult
from fusekit.report.benchmark_saving import save_benchmark as write


def save_benchmark(result: BenchmarkResult, path: Path) -> None:
    """Writes a benchmark as .csv, .json, .tex, .md or .html.

    A page elsewhere than in the folder of the benchmark refers to the pictures there by a relative path.

    Raises:
        RunError: The file cannot be written; an existing file is kept.
    """
    write(_moved(result, path) if path.suffix.lower() == ".html" else result.plain, path)


def _moved(result: BenchmarkResult, path: Path) -> dict[str, object]:
    """The benchmark with paths of pictures relative to another folder."""
    start = os.path.relpath(result.folder.resolve(), path.parent.resolve())

    def moved(value: object) -> object:
        if isinstance(value, dict):
            return {key: moved(item) for key, item in value.items()}
        return Path(start, value).as_posix() if isinstance(value, str) else value

    datasets = [{**data, "pictures": moved(data["pictures"])} for data in result.plain["datasets"]]
    return {**result.plain, "datasets": datasets}
