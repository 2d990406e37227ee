"""Writes an evaluation to files: CSV, JSON, LaTeX, Markdown or HTML, chosen by the suffix."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from fusekit.errors import UsageError
from fusekit.files import write_text
from fusekit.report.data import ImageRow, MetricTable, ReportData, Stamp
from fusekit.report.render import render
from fusekit.report.text_tables import latex, markdown
from fusekit.words import did_you_mean

SUFFIXES = (".csv", ".json", ".tex", ".md", ".html")


def check_targets(paths: Sequence[Path], *, overwrite: bool) -> None:
    """Refuses files that cannot be written, before anything is computed.

    Raises:
        UsageError: A suffix is not supported, a file is named twice or is a folder, or it exists and is not to be
            replaced.
    """
    for index, path in enumerate(paths):
        if path.suffix.lower() not in SUFFIXES:
            raise UsageError(
                f"{path}: {path.suffix or 'a file without suffix'!r} is not a format of tables"
                f"{did_you_mean(path.suffix.lower(), SUFFIXES)}",
                hint=f"the suffix is one of {', '.join(SUFFIXES)}",
            )
        if path.absolute() in [other.absolute() for other in paths[:index]]:
            raise UsageError(f"{path} is named twice")
        if path.is_dir():
            raise UsageError(f"{path} is a folder, but a file is to be written")
        if os.path.lexists(path) and not overwrite:
            raise UsageError(f"{path} exists and is not overwritten", hint="--overwrite replaces it")


def save_evaluation(plain: Mapping[str, Any], table: MetricTable, images: Sequence[ImageRow], path: Path) -> None:
    """Writes an evaluation atomically in the format of the suffix.

    Args:
        plain: All numbers, with the structure of ``evaluation.json``.
        table: The means.
        images: The values image by image.
        path: The file.

    Raises:
        RunError: The file cannot be written; an existing file is kept.
    """
    suffix = path.suffix.lower()
    facts, remarks = conditions(plain), [*plain["notes"], *problems(plain)]
    if suffix == ".csv":
        text = csv_text(plain)
    elif suffix == ".json":
        text = json.dumps(plain, indent=1) + "\n"
    elif suffix == ".tex":
        text = latex(table, facts, remarks)
    elif suffix == ".md":
        text = markdown(table, facts, remarks)
    else:
        text = render(_page(plain, table, images, facts))
    write_text(path, text)


def conditions(plain: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Names and values of the conditions that must be known to compare the numbers."""
    count = len(plain["scenes"])
    return (
        ("Images", str(count)),
        ("Dialect", ", ".join(plain["dialects"])),
        ("Range", plain["range"]),
        ("Colour", plain["colour"]),
        ("fusekit", plain["fusekit"]),
    )


def problems(plain: Mapping[str, Any]) -> list[str]:
    """One sentence for each reason for which images were not scored, with the first file stems and their number."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for stem, reason in plain["unscored"].items():
        grouped.setdefault(("", reason), []).append(stem)
    for method in plain["methods"]:
        for stem, reason in method["failed"].items():
            grouped.setdefault((method["name"], reason), []).append(stem)
    return [
        f"{f'{method}: ' if method else ''}{reason} ({_named(stems)})" for (method, reason), stems in grouped.items()
    ]


def _named(stems: Sequence[str]) -> str:
    """The first ten file stems, and how many there are."""
    more = f", … {len(stems)} in all" if len(stems) > 10 else ""
    return f"{'stem' if len(stems) == 1 else 'stems'} {', '.join(stems[:10])}{more}"


def csv_text(plain: Mapping[str, Any]) -> str:
    """A row for each method, image and metric; a row with an error for each image that could not be scored."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    roles = plain["roles"]
    writer.writerow(["method", "image", "metric", "dialect", "value", *(f"value {role}" for role in roles), "error"])
    for method in plain["methods"]:
        for position, image in enumerate(plain["scenes"]):
            if image in method["failed"]:
                continue
            for key, metric in plain["metrics"].items():
                of_sources = method["per_image_per_source"].get(key, {})
                each = (of_sources[position] if of_sources else None) or [None] * len(roles)
                value = method["per_image"][key][position]
                row = [method["name"], image, key, metric["dialect"], digits(value), *map(digits, each)]
                writer.writerow([*row, "undefined" if value is None else ""])
        for image, reason in method["failed"].items():
            writer.writerow([method["name"], image, "", "", "", *("" for _ in roles), reason])
    for image, reason in plain["unscored"].items():
        writer.writerow(["", image, "", "", "", *("" for _ in roles), reason])
    return out.getvalue()


def digits(value: float | None) -> str:
    """A number with nine significant digits; empty for None."""
    return "" if value is None else f"{value:.9g}"


def _page(
    plain: Mapping[str, Any], table: MetricTable, images: Sequence[ImageRow], facts: tuple[tuple[str, str], ...]
) -> ReportData:
    methods = [method["name"] for method in plain["methods"] if not method["is_baseline"]]
    found = problems(plain)
    stamps = [Stamp("Not every image was scored", "; ".join(found))] if found else []
    return ReportData(
        title=", ".join(methods),
        summary=f"Evaluation of fused images against their sources ({', '.join(plain['roles'])}).",
        stamps=(*stamps, *([Stamp("Notes", "; ".join(plain["notes"]))] if plain["notes"] else [])),
        facts=facts,
        scenes=(),
        metrics=table,
        task=None,
        curves=(),
        recipe="",
        created=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        images=tuple(images),
        kicker="fusekit evaluation",
    )
