"""Statistics of a table: mean, spread, ranks, and the paired bootstrap against the best baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fusekit import seeds
from fusekit.benchmarking.file import BootstrapSection

Values = npt.NDArray[np.float64]
"""The values of one metric and method, one per scene; NaN where undefined or failed."""


@dataclass(frozen=True)
class Column:
    """A metric.

    Attributes:
        key: Name of its component.
        higher_is_better: Whether a higher value is better.
    """

    key: str
    higher_is_better: bool


def describe(values: Values) -> tuple[float, float]:
    """Mean and sample standard deviation of the defined values; NaN where there are too few."""
    defined = values[~np.isnan(values)]
    mean = math.fsum(defined) / len(defined) if len(defined) else math.nan
    return mean, float(np.std(defined, ddof=1)) if len(defined) > 1 else math.nan


def ranks(rows: Mapping[str, Values], column: Column) -> dict[str, float]:
    """Rank of every method by its mean, from 1; equal means share the mean of their ranks.

    A method without a value on a scene on which another method has one is not ranked: its mean is one over other
    images.
    """
    defined = {name: ~np.isnan(values) for name, values in rows.items()}
    wanted = np.logical_or.reduce(list(defined.values())) if rows else np.zeros(0, bool)
    means = {name: describe(rows[name])[0] for name in rows if wanted.any() and bool((defined[name] == wanted).all())}
    sign = -1.0 if column.higher_is_better else 1.0
    sorted_values = np.array(list(means.values())) * sign
    return {
        name: float(np.sum(sorted_values < sign * mean) + (np.sum(sorted_values == sign * mean) + 1) / 2)
        for name, mean in means.items()
    }


def best(rows: Mapping[str, Values], names: Sequence[str], column: Column) -> str | None:
    """The best of the named methods by rank; None if none is ranked."""
    found = ranks({name: rows[name] for name in names if name in rows}, column)
    return min(found, key=lambda name: found[name]) if found else None


def paired_bootstrap(
    method: Values, baseline: Values, section: BootstrapSection, dataset: str
) -> dict[str, float | int] | None:
    """Mean difference over the images on which both have a value, with a percentile interval.

    The images are resampled with replacement (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter
    13). The resamples depend on the seed, the dataset and the number of images, so all methods of a table share them.

    Returns:
        ``difference`` (method minus baseline), ``low``, ``high`` and ``images``; None with fewer than two images.
    """
    differences = method - baseline
    differences = differences[~np.isnan(differences)]
    count = len(differences)
    if count < 2:
        return None
    random = seeds.stream(section.seed, "bootstrap", dataset, count)
    means = np.concatenate(
        [
            differences[random.integers(0, count, size=(size, count))].mean(axis=1)
            for size in _blocks(section.resamples, count)
        ]
    )
    tail = 100 * (1 - section.confidence) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return {"difference": float(differences.mean()), "low": float(low), "high": float(high), "images": count}


def fewest_images(confidence: float) -> int:
    """Smallest number of images that can show a difference.

    Without any difference, all n signs agree with probability 2^(1 - n), and a percentile interval then excludes zero
    whatever the values are: with two images in every second case. That may happen as often as the confidence allows.
    """
    return 1 + math.ceil(-math.log2(1 - confidence) - 1e-9)


def _blocks(resamples: int, count: int) -> list[int]:
    """Sizes of blocks of resamples, each of at most about four million numbers."""
    size = max(1, min(resamples, 4_000_000 // count))
    return [min(size, resamples - start) for start in range(0, resamples, size)]


def table_rows(
    values: Mapping[str, Mapping[str, Values]],
    compared: Sequence[str],
    baselines: Sequence[str],
    columns: Sequence[Column],
    section: BootstrapSection,
    dataset: str,
) -> dict[str, dict[str, Any]]:
    """The statistics of every method of a dataset as plain data; NaN is None.

    Args:
        values: Method → metric → values.
        compared: Names of the methods that are compared with the best baseline.
        baselines: Names of the baselines among which the best is chosen for each metric.
        columns: The metrics.
        section: Options of the bootstrap.
        dataset: Name of the dataset, on which the resamples depend.

    Returns:
        Method → ``mean``, ``spread``, ``rank``, ``mean_rank`` (over the metrics that are
        defined for the method; None if it lacks an image) and ``against``, which has no entry for a metric with fewer
        than `fewest_images` images.
    """
    rows: dict[str, dict[str, Any]] = {
        name: {"mean": {}, "spread": {}, "rank": {}, "mean_rank": None, "against": {}} for name in values
    }
    for column in columns:
        own = {name: found[column.key] for name, found in values.items() if column.key in found}
        ranked = ranks(own, column)
        reference = best(own, baselines, column)
        for name, found in own.items():
            mean, spread = describe(found)
            rows[name]["mean"][column.key] = plain(mean)
            rows[name]["spread"][column.key] = plain(spread)
            rows[name]["rank"][column.key] = ranked.get(name)
            if reference is not None and name in compared:
                against = paired_bootstrap(found, own[reference], section, dataset)
                if against is not None and against["images"] >= fewest_images(section.confidence):
                    rows[name]["against"][column.key] = {"baseline": reference, **against}
    for row in rows.values():
        # A metric can be undefined for a method by its nature, as SCD is for a copy of a source.
        given = [rank for key, rank in row["rank"].items() if row["mean"][key] is not None]
        if given and None not in given:
            row["mean_rank"] = math.fsum(given) / len(given)
    return rows


def plain(value: float) -> float | None:
    """A number for JSON: None for NaN."""
    return None if math.isnan(value) else value
