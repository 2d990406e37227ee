"""Metrics of colour: known answers, and scikit-image as an independent computation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from fusekit.evaluation.grey import colour8
from fusekit_metrics.colour import ChromaDeviation, ColourDifference, ciede2000, lab
from tests.metrics.test_metrics import scene


def coloured(seed: int) -> Tensor:
    return torch.stack([scene(seed + i, 32, 40) for i in range(3)])


VISIBLE, FUSED = coloured(1), coloured(2)
INFRARED = colour8(scene(5, 32, 40))


# Some of the test data of Sharma, Wu and Dalal (2005): hues on different sides, a grey colour, a large step.
@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, -1.3802, -84.2814), (50.0, 0.0, -82.7485), 1.0000),
        ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
        ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0009), 7.1792),
        ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0011), 7.2195),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_published_pairs(first: tuple[float, ...], second: tuple[float, ...], expected: float) -> None:
    pair = (torch.tensor(first, dtype=torch.float64), torch.tensor(second, dtype=torch.float64))
    assert float(ciede2000(*pair)) == pytest.approx(expected, abs=5e-5)
    assert float(ciede2000(*reversed(pair))) == pytest.approx(expected, abs=5e-5)


def test_scikit_image_agrees() -> None:
    color = pytest.importorskip("skimage.color")
    expected = [color.rgb2lab(image.permute(1, 2, 0).numpy()) for image in (VISIBLE, FUSED)]
    for image, one in zip((VISIBLE, FUSED), expected, strict=True):
        np.testing.assert_allclose(lab(image).permute(1, 2, 0).numpy(), one, atol=1e-9)
    value = ColourDifference()(FUSED, (INFRARED, VISIBLE))
    assert value.value == pytest.approx(float(color.deltaE_ciede2000(*expected).mean()), rel=1e-9)
    assert math.isnan(value.per_source[0])
    assert value.per_source[1] == value.value
    distance = np.hypot(*(np.moveaxis(expected[1] - expected[0], -1, 0)[1:])).mean()
    assert ChromaDeviation()(FUSED, (INFRARED, VISIBLE)).value == pytest.approx(float(distance), rel=1e-9)


@pytest.mark.parametrize("metric", [ColourDifference(), ChromaDeviation()], ids=lambda m: m.name)
class TestDefinition:
    def test_the_source_in_colour_does_not_deviate(self, metric: ColourDifference) -> None:
        assert metric(VISIBLE, (INFRARED, VISIBLE)).value == pytest.approx(0.0, abs=1e-12)

    def test_grey_images_are_undefined(self, metric: ColourDifference) -> None:
        assert math.isnan(metric(INFRARED, (INFRARED, VISIBLE)).value)
        assert math.isnan(metric(FUSED, (INFRARED, INFRARED)).value)

    def test_grey_shape_is_refused(self, metric: ColourDifference) -> None:
        with pytest.raises(ValueError, match=r"\(3, 32, 40\)"):
            metric(scene(1, 32, 40), (VISIBLE,))


def test_chroma_does_not_count_lightness() -> None:
    # A grey level added to all channels moves L* most: the whole difference is several times that of chroma.
    brighter = (VISIBLE.int() + 20).clamp(max=255).to(torch.uint8)
    whole, chroma = (metric(brighter, (VISIBLE,)).value for metric in (ColourDifference(), ChromaDeviation()))
    assert whole > 2 * chroma > 0
