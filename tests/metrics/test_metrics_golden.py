"""The strict dialect on real pairs, against values that were measured elsewhere.

The published means are over 25 TNO and 50 RoadScene pairs. 19 and 44 of these are at hand, and no other
public pair replaces the missing six: with the six TNO pairs of another collection the mean image has EN
6.248, not 6.233. A published mean over all pairs and the mean over those present say what the mean of the
missing six must be, and that must be a likely sample of the same kind of pictures. This tells dialects
apart: every number that the same source gives for another dialect of MI, VIF, Qabf and SSIM fails it. Beside
it stand the means over the present pairs, pinned as measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fusekit.evaluation.grey import grey8
from fusekit_metrics.gradient import AverageGradient, EdgePreservation, SpatialFrequency
from fusekit_metrics.information import Entropy, MutualInformation
from fusekit_metrics.statistics import (
    CorrelationCoefficient,
    StandardDeviation,
    SumOfCorrelationsOfDifferences,
)
from fusekit_metrics.structure import StructuralSimilarity, VisualInformationFidelity
from tests.paths import shared_data

pytestmark = pytest.mark.slow

METRICS = (
    Entropy(),
    StandardDeviation(),
    SpatialFrequency(),
    AverageGradient(),
    MutualInformation(),
    CorrelationCoefficient(),
    SumOfCorrelationsOfDifferences(),
    VisualInformationFidelity(),
    EdgePreservation(),
    StructuralSimilarity(),
)
COLUMNS = ("EN", "SD", "SF", "AG", "MI", "CC", "SCD", "VIF", "Qabf", "SSIM")
nan = math.nan  # nothing published, or undefined
NATS = 1 / math.log(2)  # published in nats, strict in bits

# In standard errors of the difference of two means; set between the worst of the dialect itself, 2.35 (SCD
# of the maximum, RoadScene), and the nearest of the others, 2.5 (SSIM with a 7 x 7 window, mean, TNO).
LIMIT = 2.4


@dataclass(frozen=True)
class Golden:
    present: int
    published_over: int
    published: dict[str, tuple[float, ...]]
    other_dialects: dict[str, dict[str, tuple[float, ...]]]
    measured: dict[str, tuple[float, ...]]
    tolerance: float


GOLDEN = {
    "tno": Golden(
        present=19,
        published_over=25,
        published={
            "visible": (6.885, 47.00, 10.82, nan, 5.165 * NATS, nan, nan, 1.036, nan, nan),
            "infrared": (6.595, 40.37, 7.54, nan, 4.964 * NATS, nan, nan, 1.034, nan, nan),
            "maximum": (6.813, 40.01, 10.06, 3.773, 6.799, nan, 1.540, 0.924, 0.575, 1.386),
            "mean": (6.233, 26.12, 6.96, 2.667, 2.311, nan, 1.541, 0.573, 0.320, 1.502),
        },
        other_dialects={
            "maximum": {
                "MI": (4.713,),
                "VIF": (0.982, 0.887),
                "Qabf": (0.599, 0.610),
                "SSIM": (1.343, 1.000),
            },
            "mean": {"MI": (1.602,), "VIF": (0.650, 0.791), "Qabf": (0.356, 0.386), "SSIM": (1.457, 1.014)},
        },
        measured={
            "visible": (6.9178, 47.0996, 10.9034, 3.9233, 7.4276, 0.4001, nan, 1.0388, 0.5875, 1.3796),
            "infrared": (6.5571, 37.4252, 7.3803, 2.8255, 7.0669, 0.4001, nan, 1.0364, 0.4740, 1.3796),
            "maximum": (6.8516, 39.5937, 9.8857, 3.7140, 6.7953, 0.5068, 1.5190, 0.9360, 0.5695, 1.3882),
            "mean": (6.2909, 26.2709, 6.9949, 2.6654, 2.3329, 0.5887, 1.5026, 0.5874, 0.3246, 1.5073),
        },
        tolerance=6e-5,
    ),
    "roadscene": Golden(
        present=44,
        published_over=50,
        published={
            "visible": (6.656, 40.96, 9.10, nan, 5.262 * NATS, nan, nan, 1.031, nan, nan),
            "infrared": (7.429, 50.68, 12.26, nan, 5.798 * NATS, nan, nan, 1.050, nan, nan),
            "maximum": (7.030, 44.01, 11.63, 4.093, 7.374, nan, 1.411, 0.853, 0.575, 1.424),
            "mean": (6.449, 28.52, 7.53, 2.872, 2.881, nan, 1.416, 0.570, 0.329, 1.524),
        },
        other_dialects={
            "maximum": {
                "MI": (5.111,),
                "VIF": (0.960, 0.828),
                "Qabf": (0.604, 0.627),
                "SSIM": (1.381, 0.973),
            },
            "mean": {"MI": (1.997,), "VIF": (0.696, 0.776), "Qabf": (0.382, 0.421), "SSIM": (1.477, 0.948)},
        },
        measured={
            "visible": (6.6491, 41.3118, 9.1830, 2.8558, 7.5905, 0.4411, nan, 1.0307, 0.4281, 1.4112),
            "infrared": (7.4427, 51.3843, 12.3133, 4.7315, 8.3841, 0.4411, nan, 1.0498, 0.6559, 1.4112),
            "maximum": (7.0382, 44.4990, 11.6800, 4.1157, 7.3939, 0.5227, 1.4396, 0.8562, 0.5778, 1.4222),
            "mean": (6.4434, 28.4500, 7.5673, 2.8769, 2.8732, 0.6234, 1.4346, 0.5645, 0.3285, 1.5206),
        },
        # Of the value: these are JPEG files, which decoders may differ on by a level here and there.
        tolerance=2e-3,
    ),
}


def _read(path: Path) -> Tensor:
    with Image.open(path) as image:
        pixels = torch.from_numpy(np.array(image if image.mode == "L" else image.convert("RGB")))
    return grey8(pixels if pixels.ndim == 2 else pixels.permute(2, 0, 1))


@lru_cache
def _values(dataset: str) -> dict[str, np.ndarray]:
    """For each row, the metrics of every pair: (pairs, metrics)."""
    data = shared_data()
    folder = data / dataset / "test" if data else None
    if folder is None or not (folder / "ir").is_dir():
        pytest.skip(f"no real pairs: {dataset}/test is looked for under FUSEKIT_TEST_DATA or ../shared/data")
    found: dict[str, list[list[float]]] = {}
    for path in sorted((folder / "ir").iterdir()):
        visible = _read(next((folder / "vi").glob(f"{path.stem}.*")))
        infrared = _read(path)
        rows = {
            "visible": visible,
            "infrared": infrared,
            "maximum": torch.maximum(visible, infrared),
            "mean": grey8((visible.float() / 255 + infrared.float() / 255) / 2),
        }
        for row, fused in rows.items():
            values = [metric(fused, (infrared, visible)).value for metric in METRICS]
            found.setdefault(row, []).append(values)
    return {row: np.array(values) for row, values in found.items()}


def _distance(values: np.ndarray, published: float, over: int) -> float:
    """How far the mean of the missing pairs lies from that of the present ones, in standard errors."""
    missing = over - len(values)
    implied = (over * published - values.sum()) / missing
    return float(abs(implied - values.mean()) / (values.std(ddof=1) * math.sqrt(1 / missing + 1 / len(values))))


@pytest.mark.parametrize("dataset", GOLDEN)
def test_real_pairs(dataset: str) -> None:
    # One test a dataset, so that parallel workers share the work and measure no pair twice.
    golden, values = GOLDEN[dataset], _values(dataset)
    complaints = []
    assert tuple(metric.name for metric in METRICS) == COLUMNS
    assert {len(v) for v in values.values()} == {golden.present}, "other pairs than those of the golden values"
    for row, expected in golden.measured.items():
        means = values[row].mean(axis=0)
        for name, mean, pinned in zip(COLUMNS, means, expected, strict=True):
            allowed = golden.tolerance * (abs(pinned) if dataset == "roadscene" else 1.0)
            if not (abs(mean - pinned) <= allowed or (math.isnan(mean) and math.isnan(pinned))):
                complaints.append(f"{row} {name}: {mean:.4f}, pinned {pinned}")
    for row, published in golden.published.items():
        for name, mean in zip(COLUMNS, published, strict=True):
            if math.isnan(mean):
                continue
            distance = _distance(values[row][:, COLUMNS.index(name)], mean, golden.published_over)
            if distance > LIMIT:
                complaints.append(f"{row} {name}: {distance:.2f} standard errors from the published {mean:.3f}")
    for row, others in golden.other_dialects.items():
        for name, means in others.items():
            for mean in means:
                distance = _distance(values[row][:, COLUMNS.index(name)], mean, golden.published_over)
                if distance <= LIMIT:
                    complaints.append(f"{row} {name}: could be the {mean} of another dialect ({distance:.2f})")
    assert not complaints, "\n".join(complaints)
    # A copy cannot be told from its source, so its SCD is undefined on every pair, never a number.
    for copy in ("visible", "infrared"):
        assert np.isnan(values[copy][:, COLUMNS.index("SCD")]).all()
