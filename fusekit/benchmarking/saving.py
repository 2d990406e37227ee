"""Writes the tables of a benchmark to a file in the format of its suffix."""

from __future__ import annotations

import json
import os
from pathlib import Path

from fusekit.benchmarking.run import BenchmarkResult
from fusekit.files import write_text
from fusekit.report.benchmark_text import benchmark_csv, benchmark_latex, benchmark_markdown
from fusekit.report.leaderboard import leaderboard_page


def save_benchmark(result: BenchmarkResult, path: Path) -> None:
    """Writes a benchmark as .csv, .json, .tex, .md or .html.

    A page elsewhere than in the folder of the benchmark refers to the pictures there by a relative path.

    Raises:
        RunError: The file cannot be written; an existing file is kept.
    """
    suffix = path.suffix.lower()
    if suffix == ".csv":
        text = benchmark_csv(result.plain)
    elif suffix == ".json":
        text = json.dumps(result.plain, indent=1) + "\n"
    elif suffix == ".tex":
        text = benchmark_latex(result.plain)
    elif suffix == ".md":
        text = benchmark_markdown(result.plain)
    else:
        text = leaderboard_page(_moved(result, path))
    write_text(path, text)


def _moved(result: BenchmarkResult, path: Path) -> dict[str, object]:
    """The benchmark with paths of pictures relative to another folder."""
    start = os.path.relpath(result.folder.resolve(), path.parent.resolve())

    def moved(value: object) -> object:
        if isinstance(value, dict):
            return {key: moved(item) for key, item in value.items()}
        return Path(start, value).as_posix() if isinstance(value, str) else value

    datasets = [{**data, "pictures": moved(data["pictures"])} for data in result.plain["datasets"]]
    return {**result.plain, "datasets": datasets}
