"""The dialects `cddfuse` and `tang-2022` against values of the published programs, image by image."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fusekit.evaluation.grey import grey8
from fusekit.interfaces.metric import Metric
from fusekit_metrics import cddfuse, cddfuse_plugin, tang, tang_2022_plugin
from fusekit_metrics.error import SignalToNoise
from fusekit_metrics.information import MutualInformation
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


def test_a_dialect_differs_from_strict_where_it_says() -> None:
    generator = torch.Generator().manual_seed(0)
    smooth = torch.linspace(20, 200, 60)[:, None] + torch.linspace(0, 40, 50)
    fused, first, second = (
        (smooth * gain + 12 * torch.rand(60, 50, generator=generator)).to(torch.uint8) for gain in (0.9, 1.0, 0.5)
    )
    strict = MutualInformation()(fused, (first, second)).value
    assert CDDFUSE["MI"](fused, (first, second)).value == pytest.approx(strict * math.log(2))
    assert TANG_2022["MI"](fused, (first, second)).value == pytest.approx(strict)  # no level above 253
    assert TANG_2022["PSNR"](fused, (first, second)).value == pytest.approx(
        SignalToNoise()(fused, (first, second)).value + 20 * math.log10(255)
    )
    strict_peak = SignalToNoise()(fused, (first, second)).value + 20 * math.log10(int(fused.max()) / 255)
    assert CDDFUSE["PSNR"](fused, (first, second)).value == pytest.approx(strict_peak)
    assert TANG_2022["SF"](fused, (first,)).value * 255 == pytest.approx(tang.SpatialFrequency()(fused, (first,)).value)
    bound = TANG_2022["SD"](torch.tensor([[0, 255]], dtype=torch.uint8).expand(8, 2).contiguous(), (fused[:8, :2],))
    assert bound.value == pytest.approx(math.sqrt(255 / 2))  # both squares saturate, and the negative one is 0


@pytest.mark.parametrize("metric", ["MI", "CC", "SCD", "VIF", "Qabf"])
def test_tang_today_is_without_the_arithmetic_of_8_bits(metric: str) -> None:
    """Only SD, SF, VIF and Qabf changed."""
    generator = torch.Generator().manual_seed(1)
    fused, *sources = (torch.randint(0, 256, (48, 52), dtype=torch.uint8, generator=generator) for _ in range(3))
    now = {type(m).__name__: m for m in (tang.MutualInformation(), tang.CorrelationCoefficient())}
    now |= {type(m).__name__: m for m in (tang.SumOfCorrelationsOfDifferences(), tang.VisualInformationFidelity())}
    now |= {type(m).__name__: m for m in (tang.EdgePreservation(),)}
    then = TANG_2022[metric]
    same = now[type(then).__name__.removesuffix("2022")](fused, sources).value == then(fused, sources).value
    assert same == (metric in {"MI", "CC", "SCD"})
