"""Fusing gives what it gave when it was recorded: see tests/golden/fusing.py."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.golden import fusing

pytestmark = pytest.mark.slow

_ROUNDED_OTHERWISE = {np.dtype(np.uint8): 1, np.dtype(np.uint16): 8}
"""Levels by which another processor's order of summation may move a network's pixel across a rounding edge."""


@pytest.fixture(scope="module")
def made() -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    return fusing.everything()


def test_fused_and_measured_images_are_those_that_were_recorded(
    made: tuple[dict[str, npt.NDArray[Any]], dict[str, Any]],
) -> None:
    images = made[0]
    with np.load(fusing.ARRAYS) as recorded:
        assert sorted(images) == sorted(recorded.files)
        for name, image in images.items():
            now, then = fusing.levels(image), recorded[name]
            assert (now.shape, now.dtype) == (then.shape, then.dtype), name
            difference = np.abs(now.astype(np.int64) - then.astype(np.int64))
            assert difference.max() <= _ROUNDED_OTHERWISE[now.dtype], name
            assert (difference > 0).mean() < (0.01 if now.dtype == np.uint8 else 1.0), name


def test_measured_values_are_those_that_were_recorded(
    made: tuple[dict[str, npt.NDArray[Any]], dict[str, Any]],
) -> None:
    recorded = json.loads(fusing.NUMBERS.read_text())
    assert made[1].keys() == recorded.keys()
    for run, rows in recorded.items():
        assert made[1][run].keys() == rows.keys()
        for method, columns in rows.items():
            for metric, values in columns.items():
                now, then = restored(made[1][run][method][metric]), restored(values)
                assert now == pytest.approx(then, rel=2e-3, abs=1e-4, nan_ok=True), (run, method, metric)


def restored(values: list[float | None]) -> list[float]:
    """Values from JSON, where NaN is null."""
    return [math.nan if value is None else value for value in values]
