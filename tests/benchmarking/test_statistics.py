"""Ranks, spread and the paired bootstrap."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fusekit.benchmarking.file import BootstrapSection
from fusekit.benchmarking.statistics import Column, best, describe, fewest_images, paired_bootstrap, ranks, table_rows

HIGHER, LOWER = Column("m", True), Column("m", False)
NAN = math.nan


def values(*numbers: float) -> np.ndarray:
    return np.array(numbers, dtype=np.float64)


def test_mean_and_sample_deviation_leave_out_what_is_undefined() -> None:
    mean, spread = describe(values(1, NAN, 3))
    assert mean == 2
    assert spread == pytest.approx(math.sqrt(2))  # divided by n - 1
    assert math.isnan(describe(values(NAN))[0])
    assert math.isnan(describe(values(5))[1])


@pytest.mark.parametrize(("column", "wanted"), [(HIGHER, [1.5, 1.5, 3]), (LOWER, [2.5, 2.5, 1])])
def test_equal_means_share_a_rank(column: Column, wanted: list[float]) -> None:
    rows = {"a": values(1, 3), "b": values(2, 2), "c": values(0, 0)}
    assert list(ranks(rows, column).values()) == wanted


def test_a_method_that_lacks_an_image_is_not_ranked() -> None:
    """Its mean is one over other images: on the image that it lacks, all others are low."""
    rows = {"complete": values(1, 0), "lacking": values(0.9, NAN), "other": values(0.5, 0.1)}
    assert ranks(rows, HIGHER) == {"complete": 1, "other": 2}
    undefined_everywhere = {name: np.append(found, NAN) for name, found in rows.items()}
    assert ranks(undefined_everywhere, HIGHER) == {"complete": 1, "other": 2}


def test_the_best_baseline_depends_on_the_direction() -> None:
    rows = {"mean": values(1, 1), "max": values(2, 2), "model": values(9, 9)}
    assert best(rows, ["mean", "max"], HIGHER) == "max"
    assert best(rows, ["mean", "max"], LOWER) == "mean"
    assert best(rows, [], HIGHER) is None


@pytest.mark.parametrize(("confidence", "interval"), [(0.4, (2, 2)), (0.9, (1, 3))])
def test_two_images_have_a_known_distribution(confidence: float, interval: tuple[float, float]) -> None:
    """Resampling the differences 1 and 3 gives 1, 2 and 3 with probabilities 1/4, 1/2 and 1/4."""
    found = paired_bootstrap(values(2, 5), values(1, 2), BootstrapSection(confidence=confidence), "data")
    assert found is not None
    assert (found["low"], found["high"]) == interval
    assert found["difference"] == 2


def test_the_interval_is_that_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(1)
    method, baseline = random.normal(0.1, 1, 40), random.normal(0, 1, 40)
    found = paired_bootstrap(method, baseline, BootstrapSection(resamples=40_000), "data")
    wanted = stats.bootstrap(
        (method - baseline,), np.mean, n_resamples=40_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert found is not None
    assert found["low"] == pytest.approx(wanted.low, abs=0.02)  # its error by chance is about 0.004
    assert found["high"] == pytest.approx(wanted.high, abs=0.02)


def test_the_interval_depends_on_the_seed_alone_and_pairs_by_image() -> None:
    method, baseline = values(1, 2, 3, NAN), values(0, 2, 5, 7)
    section = BootstrapSection(resamples=500)
    first = paired_bootstrap(method, baseline, section, "data")
    assert first is not None
    assert first["images"] == 3
    assert first == paired_bootstrap(method, baseline, section, "data")
    assert paired_bootstrap(values(1, NAN), values(1, 2), section, "data") is None


def test_the_table_compares_only_with_baselines_that_fuse() -> None:
    rows = table_rows(
        {"model": {"m": values(2, 2, 2)}, "copy": {"m": values(9, 9, 9)}, "mean": {"m": values(1, 0, 1)}},
        ["model"],
        ["mean"],
        [HIGHER],
        BootstrapSection(resamples=200, confidence=0.7),
        "data",
    )
    assert rows["model"]["against"]["m"]["baseline"] == "mean"
    assert rows["model"]["against"]["m"]["low"] >= 1
    assert rows["copy"]["rank"]["m"] == rows["copy"]["mean_rank"] == 1
    assert rows["copy"]["against"] == {} == rows["mean"]["against"]


@pytest.mark.parametrize(("confidence", "fewest"), [(0.5, 2), (0.75, 3), (0.9, 5), (0.95, 6), (0.99, 8)])
def test_too_few_images_are_not_compared(confidence: float, fewest: int) -> None:
    """Of n random signs, all agree with probability 2 / 2^n."""
    assert fewest_images(confidence) == fewest
    assert 2 / 2**fewest <= 1 - confidence + 1e-12 < 2 / 2 ** (fewest - 1)
    for count, compared in ((fewest - 1, False), (fewest, True)):
        better = {"model": {"m": np.full(count, 2.0)}, "mean": {"m": np.full(count, 1.0)}}
        section = BootstrapSection(resamples=100, confidence=confidence)
        assert (
            "m" in table_rows(better, ["model"], ["mean"], [HIGHER], section, "data")["model"]["against"]
        ) is compared
