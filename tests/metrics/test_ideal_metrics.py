"""Metrics against the known ideal: known answers, where they are undefined, and where they show."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fusekit.compat.torchvision_ops import import_torchvision
from fusekit.evaluation.benchmark import Benchmark, Method
from fusekit.interfaces.metric import Metric, MetricValue, ReferenceMetric
from fusekit.pipeline.evaluate_stage import IDEAL
from fusekit.plugin.registry import Registry
from fusekit.report.data import Picture
from fusekit.report.render import _layout
from fusekit_metrics.ideal import IdealSignalToNoise, IdealSimilarity, psnr
from fusekit_metrics.ideal_plugin import fusekit_components
from fusekit_metrics.information import Entropy
from fusekit_metrics.structure import StructuralSimilarity, ssim
from tests.evaluation.toy import toy_registry, toy_run

pytestmark = pytest.mark.slow

DEFAULT = ("ideal.psnr", "ideal.ssim")
BOTH: tuple[type[ReferenceMetric], ...] = (IdealSignalToNoise, IdealSimilarity)
METHODS = [Method("model", is_model=True), Method("copy")]
ROUNDING = 10 * math.log10(255**2 * 12)


def picture(seed: int, height: int = 40, width: int = 52) -> Tensor:
    """Noise over a slope, (H, W) uint8."""
    noise = torch.randint(0, 60, (height, width), generator=torch.Generator().manual_seed(seed))
    return (noise + 3 * torch.arange(width) + seed).to(torch.uint8)


A, B, F, I = (picture(seed) for seed in (1, 2, 3, 4))  # noqa: E741 the ideal, as in the formula


class TestDeclaration:
    def test_every_class_is_a_component_of_the_namespace(self) -> None:
        specs = fusekit_components()
        assert tuple(spec.name for spec in specs) == DEFAULT
        assert [spec.target for spec in specs] == [f"{m.__module__}:{m.__qualname__}" for m in BOTH]
        assert {m.dialect for m in BOTH} == {"against the known ideal"}
        assert {spec.name for spec in toy_registry().specs("metric")} >= set(DEFAULT)

    def test_the_entry_module_loads_without_torch(self) -> None:
        script = (
            "import sys, fusekit_metrics.ideal_plugin as entry\n"
            "entry.fusekit_components()\n"
            "print('torch' in sys.modules)"
        )
        shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert shown.stdout.strip() == "False"


class TestKnownAnswers:
    @pytest.mark.parametrize("error", [1, 5, 100])
    def test_psnr_of_an_even_error(self, error: int) -> None:
        flat = torch.full((12, 12), 20, dtype=torch.uint8)
        expected = 20 * math.log10(255 / error)
        assert psnr(flat + error, flat) == pytest.approx(expected)
        assert psnr(flat, flat + error) == pytest.approx(expected)

    def test_psnr_of_black_and_white_is_zero(self) -> None:
        black = torch.zeros(12, 12, dtype=torch.uint8)
        assert psnr(black, 255 - black) == 0.0

    def test_psnr_of_half_an_image(self) -> None:
        flat = torch.full((12, 12), 20, dtype=torch.uint8)
        half = flat.clone()
        half[:6] += 10
        assert psnr(half, flat) == pytest.approx(10 * math.log10(255**2 / 50))

    def test_equal_images_have_the_psnr_of_rounding(self) -> None:
        assert psnr(A, A) == pytest.approx(ROUNDING)
        assert round(ROUNDING, 2) == 58.92
        nearly = A.clone()
        nearly[0, 0] += 1  # one level at one pixel of 2080 is less than rounding does
        assert psnr(nearly, A) == psnr(A, A)
        nearly[:10] += 1
        assert psnr(nearly, A) < psnr(A, A)

    def test_ssim_of_identical_images_is_one(self) -> None:
        assert IdealSimilarity()(A, (B, F), A).value == pytest.approx(1.0, abs=1e-12)

    def test_ssim_is_that_of_the_strict_dialect(self) -> None:
        measured = IdealSimilarity()(F, (A, B), I)
        assert measured.value == StructuralSimilarity()(F, (I,)).value == ssim(I, F)
        assert measured.per_source == ()

    @pytest.mark.parametrize("other", [B, F, 255 - A, (A // 2) + 9], ids=["B", "F", "-A", "darker"])
    def test_torchmetrics_agrees(self, other: Tensor) -> None:
        if find_spec("torchmetrics") is None:
            pytest.skip("torchmetrics, the second opinion, is not installed")
        if find_spec("torchvision") is not None:
            import_torchvision()  # torchmetrics imports it, which fails beside a torch without CUDA
        from torchmetrics.functional.image import peak_signal_noise_ratio

        expected = peak_signal_noise_ratio(other.double(), A.double(), data_range=255.0)
        assert IdealSignalToNoise()(other, (B,), A).value == pytest.approx(float(expected), abs=1e-6)


class TestInterface:
    @pytest.mark.parametrize("metric", BOTH, ids=lambda m: m.name)
    def test_undefined_without_an_ideal(self, metric: type[ReferenceMetric]) -> None:
        assert math.isnan(metric()(F, (A, B)).value)
        assert math.isnan(metric()(F, (A, B), None).value)

    @pytest.mark.parametrize("metric", BOTH, ids=lambda m: m.name)
    def test_sources_play_no_part(self, metric: type[ReferenceMetric]) -> None:
        assert metric()(F, (A, B), I) == metric()(F, (B,), I)

    @pytest.mark.parametrize("metric", BOTH, ids=lambda m: m.name)
    def test_smallest_size(self, metric: type[ReferenceMetric]) -> None:
        side = metric.minimum_size
        fits = [image[:side] for image in (F, A, I)]
        assert math.isfinite(metric()(fits[0], fits[1:2], fits[2]).value)
        if side > 1:
            small = [image[: side - 1] for image in (F, A, I)]
            assert math.isnan(metric()(small[0], small[1:2], small[2]).value)

    @pytest.mark.parametrize("metric", BOTH, ids=lambda m: m.name)
    def test_wrong_images_are_refused(self, metric: type[ReferenceMetric]) -> None:
        with pytest.raises(ValueError, match="ideal is"):
            metric()(F, (A, B), I[:-1])
        with pytest.raises(ValueError, match="ideal is"):
            metric()(F, (A, B), I / 255.0)
        with pytest.raises(ValueError, match="no source"):
            metric()(F, (), I)

    def test_images_are_left_alone(self) -> None:
        before = [image.clone() for image in (F, A, I)]
        for metric in BOTH:
            metric()(F, (A,), I)
        assert all(torch.equal(now, then) for now, then in zip((F, A, I), before, strict=True))


class TestBenchmark:
    def metrics(self) -> dict[str, Metric]:
        return {"strict.en": Entropy(), "ideal.psnr": IdealSignalToNoise(), "ideal.ssim": IdealSimilarity()}

    def add(self, benchmark: Benchmark, name: str, ideal: Tensor | None) -> None:
        sources = [image[None] / 255.0 for image in (A, B)]
        benchmark.add_scene(name, sources, None, [F[None] / 255.0, sources[0]], ideal=ideal)

    def test_compares_with_the_grey_of_the_ideal(self) -> None:
        benchmark = Benchmark(METHODS, self.metrics())
        self.add(benchmark, "grey", A[None] / 255.0)
        self.add(benchmark, "colour", A.expand(3, -1, -1) / 255.0)
        model, copy = benchmark.to_plain()["methods"]
        assert model["per_image"]["ideal.psnr"] == pytest.approx([psnr(F, A)] * 2)
        assert model["per_image"]["ideal.ssim"] == pytest.approx([ssim(A, F)] * 2)
        assert copy["mean"]["ideal.psnr"] == pytest.approx(ROUNDING)
        assert copy["mean"]["ideal.ssim"] == pytest.approx(1.0)
        assert not any(key.startswith("ideal.") for key in model["per_source"])

    def test_a_scene_without_ideal_is_left_out_of_the_mean_and_counted(self) -> None:
        benchmark = Benchmark(METHODS, self.metrics())
        self.add(benchmark, "known", I[None] / 255.0)
        self.add(benchmark, "unknown", None)
        plain = benchmark.to_plain()
        model = plain["methods"][0]
        assert model["undefined"] == {"ideal.psnr": 1, "ideal.ssim": 1}
        assert model["mean"]["ideal.psnr"] == pytest.approx(psnr(F, I))
        assert model["per_image"]["ideal.psnr"][1] is None
        assert json.loads(json.dumps(plain, allow_nan=False)) == plain

    def test_a_metric_that_takes_only_two_arguments_still_works(self) -> None:
        class Own(Entropy):
            def __call__(self, fused, sources):  # type: ignore[no-untyped-def, override]
                return MetricValue(float(len(sources)))

        benchmark = Benchmark(METHODS, {"own.count": Own()})
        self.add(benchmark, "known", I[None] / 255.0)
        assert benchmark.to_plain()["methods"][0]["mean"] == {"own.count": 2.0}


class TestRun:
    def test_known_ideals_are_in_table_note_and_pictures(self, tmp_path: Path) -> None:
        folder = toy_run(tmp_path, ideals=2).folder
        evaluation = json.loads(folder.evaluation.read_text())
        assert list(evaluation["metrics"])[-2:] == list(DEFAULT)
        assert len(evaluation["metrics"]) == 12
        assert IDEAL in evaluation["note"]
        model = evaluation["methods"][0]
        assert model["mean"]["ideal.psnr"] == pytest.approx(ROUNDING)  # the ideal is the mean, and so is the model
        assert model["mean"]["ideal.ssim"] == pytest.approx(1.0)
        (maximum,) = (method for method in evaluation["methods"] if method["name"] == "max")
        assert maximum["mean"]["ideal.psnr"] < 20
        rows = list(csv.DictReader(folder.table.open()))
        assert float(rows[0]["PSNR (against the known ideal)"]) == pytest.approx(ROUNDING, abs=1e-3)
        assert float(rows[0]["SSIM (against the known ideal)"]) != float(rows[0]["SSIM (strict)"])
        page = folder.report.read_text()
        assert page.count('<figure class="ideal">') == 2
        assert "dialect <b>against the known ideal</b>" in page
        assert IDEAL in page

    def test_unknown_ideals_are_nowhere(self, tmp_path: Path) -> None:
        folder = toy_run(tmp_path).folder
        evaluation = json.loads(folder.evaluation.read_text())
        assert len(evaluation["metrics"]) == 10
        assert not {"PSNR", "PSNR (against the known ideal)"} & set(next(csv.reader(folder.table.open())))
        page = folder.report.read_text()
        assert 'class="ideal"' not in page
        assert "known ideal" not in evaluation["note"] + page

    def test_a_scene_whose_ideal_is_unknown_has_empty_cells(self, tmp_path: Path) -> None:
        folder = toy_run(tmp_path, ideals=1).folder
        rows = list(csv.DictReader(folder.table.open()))
        cells = {row["scene"]: row["PSNR (against the known ideal)"] for row in rows}
        assert cells["first"]
        assert not cells["second"]
        assert folder.report.read_text().count('<figure class="ideal">') == 1

    @pytest.mark.parametrize("listed", [["strict.en"], ["ideal.ssim", "strict.en"]])
    def test_a_list_of_the_recipe_is_taken_at_its_word(self, tmp_path: Path, listed: list[str]) -> None:
        folder = toy_run(tmp_path, ideals=2, evaluate={"metrics": listed, "pictures": 0}).folder
        assert list(json.loads(folder.evaluation.read_text())["metrics"]) == listed

    def test_the_default_list_written_out_is_still_the_default(self, tmp_path: Path) -> None:
        run = toy_run(tmp_path / "first", ideals=2, evaluate={"pictures": 0})
        written = run.recipe.plain["evaluate"]["metrics"]
        again = toy_run(tmp_path / "again", ideals=2, evaluate={"metrics": written, "pictures": 0})
        assert again.folder.evaluation.read_text() == run.folder.evaluation.read_text()

    def test_does_without_the_plugin_where_it_is_switched_off(self, tmp_path: Path) -> None:
        without = Registry([report for report in toy_registry().reports if report.namespace != "ideal"])
        folder = toy_run(tmp_path, ideals=2, components=without).folder
        assert len(json.loads(folder.evaluation.read_text())["metrics"]) == 10
        assert folder.report.read_text().count('<figure class="ideal">') == 2


class TestLayout:
    def pictures(self, *kinds: str) -> list[Picture]:
        return [Picture(kind, picture(0).numpy(), kind=kind) for kind in kinds]  # type: ignore[arg-type]

    def test_the_first_row_ends_with_the_ideal(self) -> None:
        row = ("photo", "photo", "fused", "ideal")
        assert _layout(self.pictures(*row, "weights", "weights", "labels", "labels")) == (4, False)
        assert _layout(self.pictures(*row)) == (4, False)

    def test_without_it_the_fused_picture_leads(self) -> None:
        assert _layout(self.pictures("photo", "photo", "fused", "weights", "weights")) == (4, True)
