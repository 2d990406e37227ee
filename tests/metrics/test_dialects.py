"""The dialects: `cddfuse` and `tang-2022` against values of the published programs, the others rule by rule."""

from __future__ import annotations

import csv
import math
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image
from torch import Tensor

from fusekit.evaluation.grey import grey8
from fusekit.interfaces.metric import Metric
from fusekit_metrics import cddfuse, cddfuse_plugin, tang, tang_2022_plugin, tdfusion, vifb, zoo
from fusekit_metrics.error import SignalToNoise
from fusekit_metrics.information import MutualInformation
from fusekit_metrics.structure import VisualInformationFidelity
from tests.metrics.test_metrics import scene
from tests.paths import parity, shared_data

FOLDER, DATA = parity(), shared_data()

CDDFUSE: dict[str, Metric] = {
    "EN": cddfuse.Entropy(),
    "SD": cddfuse.StandardDeviation(),
    "SF": cddfuse.SpatialFrequency(),
    "AG": cddfuse.AverageGradient(),
    "MI": cddfuse.MutualInformation(),
    "MSE": cddfuse.MeanSquaredError(),
    "CC": cddfuse.CorrelationCoefficient(),
    "PSNR": cddfuse.SignalToNoise(),
    "SCD": cddfuse.SumOfCorrelationsOfDifferences(),
    "VIFF": cddfuse.VisualInformationFidelity(),
    "Qabf": cddfuse.EdgePreservation(),
    "SSIM": cddfuse.StructuralSimilarity(),
}
TANG_2022: dict[str, Metric] = {
    "EN": tang.Entropy2022(),
    "SD": tang.StandardDeviation2022(),
    "SF": tang.SpatialFrequency2022(),
    "AG": tang.AverageGradient2022(),
    "MI": tang.MutualInformation2022(),
    "MSE": tang.MeanSquaredError2022(),
    "CC": tang.CorrelationCoefficient2022(),
    "PSNR": tang.SignalToNoise2022(),
    "SCD": tang.SumOfCorrelationsOfDifferences2022(),
    "VIF": tang.VisualInformationFidelity2022(),
    "Qabf": tang.EdgePreservation2022(),
}


def rows(file: str) -> list[dict[str, str]]:
    path = FOLDER / file if FOLDER else None
    if path is None or not path.is_file():
        return []
    return list(csv.DictReader(line for line in path.read_text().splitlines() if not line.startswith("#")))


def grey(path: Path) -> Tensor:
    pixels = np.array(Image.open(path))
    return grey8(torch.from_numpy(pixels if pixels.ndim == 2 else pixels.transpose(2, 0, 1).copy()))


@lru_cache(maxsize=2)
def cddfuse_sources(dataset: str, stem: str) -> tuple[Tensor, Tensor]:
    assert DATA is not None
    infrared, visible = (grey(next((DATA / dataset / "test" / role).glob(f"{stem}.*"))) for role in ("ir", "vi"))
    return infrared, visible


def fused_by_rule(method: str, sources: tuple[Tensor, Tensor]) -> Tensor:
    if method == "max":
        return torch.maximum(*sources)
    return torch.round(torch.stack(sources).double().mean(dim=0)).to(torch.uint8)


OF_CDDFUSE, OF_TANG = rows("cddfuse-evaluator/metrics.csv"), rows("tang/metrics.csv")
PAIRS = sorted({(row["dataset"], row["stem"], row["method"]) for row in OF_CDDFUSE})
RESULTS = sorted({(row["image"], row["method"]) for row in OF_TANG})


def disagreements(
    metrics: dict[str, Metric],
    published: dict[str, str],
    fused: Tensor,
    sources: tuple[Tensor, Tensor],
    relative: float,
) -> Iterator[str]:
    assert set(published) == set(metrics)
    for name, text in published.items():
        measured = metrics[name](fused, sources).value
        if measured != pytest.approx(float(text), rel=relative, abs=0):
            yield f"{name}: {measured}, published {text}"


@pytest.mark.slow
@pytest.mark.skipif(
    not PAIRS or DATA is None,
    reason="the values of the CDDFuse evaluator (FUSEKIT_TEST_PARITY) or the images (FUSEKIT_TEST_DATA) are absent",
)
@pytest.mark.parametrize(("dataset", "stem", "method"), PAIRS or [("", "", "")])
def test_cddfuse_is_the_evaluator(dataset: str, stem: str, method: str) -> None:
    """The evaluator computes in float32, which is why the last of its nine digits differ."""
    sources = cddfuse_sources(dataset, stem)
    published = {
        row["metric"]: row["value"]
        for row in OF_CDDFUSE
        if (row["dataset"], row["stem"], row["method"]) == (dataset, stem, method)
    }
    fused = fused_by_rule(method, sources)
    assert not list(disagreements(CDDFUSE, published, fused, sources, relative=5e-6))


@pytest.mark.slow
@pytest.mark.skipif(not RESULTS, reason="the images and values of the spreadsheet (FUSEKIT_TEST_PARITY) are absent")
@pytest.mark.parametrize(("image", "method"), RESULTS or [("", "")])
def test_tang_2022_is_the_spreadsheet(image: str, method: str) -> None:
    assert FOLDER is not None
    infrared, visible, fused = (grey(FOLDER / "tang" / of / f"{image}.png") for of in ("ir", "vi", method))
    published = {row["metric"]: row["value"] for row in OF_TANG if (row["image"], row["method"]) == (image, method)}
    assert not list(disagreements(TANG_2022, published, fused, (infrared, visible), relative=1e-10))


@pytest.mark.parametrize(("metrics", "entry"), [(CDDFUSE, cddfuse_plugin), (TANG_2022, tang_2022_plugin)])
def test_every_metric_of_the_program_is_a_component(metrics: dict[str, Metric], entry: ModuleType) -> None:
    found = {spec.target.partition(":")[2]: spec for spec in entry.fusekit_components()}
    assert set(found) == {type(metric).__name__ for metric in metrics.values()}
    for metric in metrics.values():
        spec = found[type(metric).__name__]
        assert spec.name == f"{metric.dialect}.{metric.name.lower()}"
        assert not spec.in_tables


A, B = scene(1), scene(2)
F = ((A.int() + B.int()) // 2).to(torch.uint8)


def test_a_dialect_differs_from_strict_where_it_says() -> None:
    fused, first, second = (image.clamp(max=253) for image in (F, A, B))
    strict = MutualInformation()(fused, (first, second)).value
    assert CDDFUSE["MI"](fused, (first, second)).value == pytest.approx(strict * math.log(2))
    assert TANG_2022["MI"](fused, (first, second)).value == pytest.approx(strict)  # without the levels 254 and 255
    assert TANG_2022["PSNR"](fused, (first, second)).value == pytest.approx(
        SignalToNoise()(fused, (first, second)).value + 20 * math.log10(255)
    )
    strict_peak = SignalToNoise()(fused, (first, second)).value + 20 * math.log10(int(fused.max()) / 255)
    assert CDDFUSE["PSNR"](fused, (first, second)).value == pytest.approx(strict_peak)
    assert TANG_2022["SF"](fused, (first,)).value * 255 == pytest.approx(tang.SpatialFrequency()(fused, (first,)).value)
    bound = TANG_2022["SD"](torch.tensor([[0, 255]], dtype=torch.uint8).expand(8, 2).contiguous(), (fused[:8, :2],))
    assert bound.value == pytest.approx(math.sqrt(255 / 2))  # both squares saturate, and the negative one is 0


@pytest.mark.parametrize(
    ("now", "then", "same"),
    [
        (tang.MutualInformation, "MI", True),
        (tang.CorrelationCoefficient, "CC", True),
        (tang.SumOfCorrelationsOfDifferences, "SCD", True),
        (tang.VisualInformationFidelity, "VIF", False),
        (tang.EdgePreservation, "Qabf", False),
        (tang.StandardDeviation, "SD", False),
    ],
)
def test_tang_of_today_is_without_the_arithmetic_of_8_bits(now: type[Metric], then: str, same: bool) -> None:
    assert (now()(F, (A, B)).value == TANG_2022[then](F, (A, B)).value) == same


def test_ssim_of_tang_counts_the_border() -> None:
    expected = 0.0
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def under(image: np.ndarray) -> np.ndarray:
        return np.einsum("hwij,ij->hw", sliding_window_view(image, window.shape), window)

    for source in (A, B):
        first, second = (np.pad(image.numpy().astype(float), 5, mode="edge") for image in (source, F))
        one, two = under(first), under(second)
        variance = under(first**2) - one**2 + under(second**2) - two**2
        luminance = (2 * one * two + 1e-4) / (one**2 + two**2 + 1e-4)
        similarity = luminance * (2 * (under(first * second) - one * two) + 9e-4) / (variance + 9e-4)
        assert similarity.shape == F.shape
        expected += similarity.mean() / 2
    assert tang.StructuralSimilarity()(F, (A, B)).value == pytest.approx(expected, abs=1e-9)


def test_the_entry_modules_load_without_torch() -> None:
    script = (
        "import importlib, sys\n"
        "for name in ('cddfuse', 'tang', 'tang_2022', 'vifb', 'tdfusion', 'zoo'):\n"
        "    importlib.import_module(f'fusekit_metrics.{name}_plugin').fusekit_components()\n"
        "print('torch' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


def test_vifb() -> None:
    fused, first, second = (image.numpy().astype(float) for image in (F, A, B))
    pixels = fused.size
    squares = (np.diff(fused, axis=0) ** 2).sum() + (np.diff(fused, axis=1) ** 2).sum()
    assert vifb.SpatialFrequency()(F, (A, B)).value == pytest.approx(math.sqrt(squares / pixels))
    errors = [math.sqrt(((fused - source) ** 2).sum()) / pixels for source in (first, second)]
    assert vifb.RootError()(F, (A, B)).value == pytest.approx(sum(errors) / 2)
    assert vifb.SignalToNoise()(F, (A, B)).value == pytest.approx(10 * math.log10(255**2 * 2 / sum(errors)))
    # A stretch that reaches both ends moves levels, and does not change their joint distribution.
    wide = torch.tensor([[0, 255]], dtype=torch.uint8).expand(9, 2)
    images = [torch.cat((wide, image[:9]), dim=1) for image in (F, A, B)]
    expected = MutualInformation()(images[0], images[1:]).value * math.log(2)
    assert vifb.MutualInformation()(images[0], images[1:]).value == pytest.approx(expected)
    # 0, 1, 2, 4 of 4 become 0, 64, 128, 255; a constant image shares nothing.
    few = torch.tensor([[0, 1, 2, 4]], dtype=torch.uint8)
    assert vifb.MutualInformation()(few, (few, few * 0 + 7)).per_source == pytest.approx((math.log(4), 0.0))


def test_tdfusion_averages() -> None:
    doubled = 2 * tdfusion.VisualInformationFidelity()(F, (A, B)).value
    assert doubled == pytest.approx(VisualInformationFidelity()(F, (A, B)).value)
    expected = 0.0
    for source in (A, B):
        first, second = (sliding_window_view(i.numpy().astype(float), (7, 7)).reshape(-1, 49) for i in (source, F))
        means = first.mean(axis=1), second.mean(axis=1)
        variance = first.var(axis=1, ddof=1) + second.var(axis=1, ddof=1)
        covariance = ((first - means[0][:, None]) * (second - means[1][:, None])).sum(axis=1) / 48
        one, two = 2.55**2, 7.65**2
        luminance = (2 * means[0] * means[1] + one) / (means[0] ** 2 + means[1] ** 2 + one)
        expected += (luminance * (2 * covariance + two) / (variance + two)).mean() / 2
    assert tdfusion.StructuralSimilarity()(F, (A, B)).value == pytest.approx(expected, abs=1e-9)


def test_zoo() -> None:
    shares = np.bincount(F.numpy().ravel(), minlength=256) / F.numel()
    assert zoo.Entropy()(F, (A,)).value == pytest.approx(-(shares * np.log2(shares + 1e-7)).sum())
    assert zoo.VisualInformationFidelity()(A, (A, A)).value == pytest.approx(2.0, abs=1e-6)

    def under(size: int, image: np.ndarray) -> np.ndarray:
        x = np.linspace(-size // 2, size // 2, size)
        window = np.exp(-(x[:, None] ** 2 + x[None] ** 2) / (2 * (size / 5) ** 2))
        return np.einsum(
            "hwij,ij->hw", sliding_window_view(np.pad(image, size // 2), (size, size)), window / window.sum()
        )

    source, fused = A.numpy().astype(float), F.numpy().astype(float)
    preserved = available = 0.0
    for size in (17, 9, 5, 3):
        if size < 17:
            source, fused = under(size, source)[::2, ::2], under(size, fused)[::2, ::2]
        means = under(size, source), under(size, fused)
        variance = np.maximum(under(size, source**2) - means[0] ** 2, 0)
        of_fused = np.maximum(under(size, fused**2) - means[1] ** 2, 0)
        covariance = under(size, source * fused) - means[0] * means[1]
        gain = covariance / (variance + 1e-10)
        residue = np.maximum(np.where(gain < 0, of_fused, of_fused - gain * covariance), 1e-10)
        preserved += np.log10(1 + np.maximum(gain, 0) ** 2 * variance / (residue + 2)).sum()
        available += np.log10(1 + variance / 2).sum()
    assert zoo.VisualInformationFidelity()(F, (A,)).value == pytest.approx(preserved / available, abs=1e-9)
