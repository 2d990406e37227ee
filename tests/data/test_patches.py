"""The patch grid and the low-contrast filter."""

from __future__ import annotations

import numpy as np
import pytest

from fusekit.data.patches import contrast, grid, is_flat


@pytest.mark.parametrize(
    ("size", "stride", "places"),
    [
        (16, 16, [(y, x) for y in (0, 16, 19) for x in (0, 16, 32)]),
        (32, 16, [(0, 0), (0, 16), (3, 0), (3, 16)]),
        (32, 8, [(0, 0), (0, 8), (0, 16), (3, 0), (3, 8), (3, 16)]),
        (20, 20, [(y, x) for y in (0, 15) for x in (0, 20, 28)]),
        (35, 35, [(0, 0), (0, 13)]),
        (40, 16, []),
    ],
)
def test_patches_are_whole_and_reach_the_border(size: int, stride: int, places: list[tuple[int, int]]) -> None:
    windows = grid(35, 48, size, stride)
    assert [(w.top, w.left) for w in windows] == places
    assert all(w.top + w.height <= 35 and w.left + w.width <= 48 and w.height == w.width == size for w in windows)


def test_contrast_known_answers() -> None:
    ramp = np.linspace(0, 1, 101)
    assert contrast(ramp) == pytest.approx((0.9 - 0.1) / 0.9)
    assert contrast(np.full((4, 4), 0.7)) == 0.0
    assert contrast(np.zeros((4, 4))) == 0.0
    spark = np.zeros((10, 10))
    spark[0, :9] = 1.0  # nine bright pixels of a hundred: the 90th percentile is still 0
    assert contrast(spark) == 0.0


def test_a_patch_is_flat_if_any_source_is() -> None:
    rough, flat = np.linspace(0, 1, 100).reshape(10, 10), np.full((10, 10), 0.5)
    black = np.zeros((10, 10))
    assert not is_flat([rough, rough], 0.1)
    assert is_flat([rough, flat], 0.1)
    assert is_flat([black, rough], 0.1)
    assert not is_flat([black, flat], 0.0)
