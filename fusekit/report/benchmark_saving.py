"""Writes a benchmark to files: CSV, JSON, LaTeX, Markdown or HTML, chosen by the suffix."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fusekit.files import write_text
from fusekit.report.benchmark_text import benchmark_csv, benchmark_latex, benchmark_markdown
from fusekit.report.leaderboard import leaderboard_page


def save_benchmark(plain: Mapping[str, Any], path: Path) -> None:
    """Writes a benchmark atomically in the format of the suffix, one of `saving.SUFFIXES`.

    Args:
        plain: The content of ``benchmark.json``.
        path: The file. A page takes its pictures relative to its own folder, so it belongs beside ``benchmark.json``.

    Raises:
        KeyError: The suffix is not supported; `saving.check_targets` refuses it with an explanation.
        RunError: The file cannot be written; an existing file is kept.
    """
    writers = {
        ".csv": benchmark_csv,
        ".json": lambda plain: json.dumps(plain, indent=1) + "\n",
        ".tex": benchmark_latex,
        ".md": benchmark_markdown,
        ".html": leaderboard_page,
    }
    write_text(path, writers[path.suffix.lower()](plain))
