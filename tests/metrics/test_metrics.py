"""The metrics of the strict dialect against known answers and independent computations."""

from __future__ import annotations

import math
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import Tensor

from fusekit.compat.torchvision_ops import import_torchvision
from fusekit.evaluation.grey import grey8
from fusekit.interfaces.metric import Metric
from fusekit_metrics.gradient import AverageGradient, EdgePreservation, SpatialFrequency
from fusekit_metrics.information import Entropy, MutualInformation, entropy, mutual_information
from fusekit_metrics.statistics import (
    CorrelationCoefficient,
    StandardDeviation,
    SumOfCorrelationsOfDifferences,
    pearson,
)
from fusekit_metrics.strict_plugin import fusekit_components
from fusekit_metrics.structure import StructuralSimilarity, VisualInformationFidelity, ssim, vif

ALL: tuple[type[Metric], ...] = (
    Entropy,
    StandardDeviation,
    SpatialFrequency,
    AverageGradient,
    MutualInformation,
    CorrelationCoefficient,
    SumOfCorrelationsOfDifferences,
    VisualInformationFidelity,
    EdgePreservation,
    StructuralSimilarity,
)


def scene(seed: int, height: int = 64, width: int = 81) -> Tensor:
    """A picture with shapes, slopes and grain: smooth and rough places, as photographs have."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    picture = 90.0 + 60.0 * np.sin(rows / (5 + seed)) * np.cos(columns / (9 - seed)) + 0.4 * columns
    picture[height // 4 : height // 2, width // 3 : width // 2] += 60.0
    picture += rng.normal(0.0, 4.0 + seed, picture.shape)
    return torch.from_numpy(np.clip(np.rint(picture), 0, 255).astype(np.uint8))


def constant(level: int, height: int = 64, width: int = 81) -> Tensor:
    return torch.full((height, width), level, dtype=torch.uint8)


def value(metric: type[Metric], fused: Tensor, *sources: Tensor) -> float:
    return metric()(fused, sources).value


A, B, C = scene(1), scene(2), scene(3)
F = ((A.int() + B.int()) // 2).to(torch.uint8)


class TestGrey8:
    def test_bt601_rounded_once(self) -> None:
        colour = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 200, 90]], dtype=torch.uint8)
        # .299 * 255 = 76.245, .587 * 255 = 149.685, .114 * 255 = 29.07, 2.99 + 117.4 + 10.26 = 130.65
        assert grey8(colour.T.reshape(3, 2, 2)).flatten().tolist() == [76, 150, 29, 131]

    def test_float_copy_of_8_bit_colour_is_the_same_grey(self) -> None:
        colour = torch.randint(0, 256, (3, 300, 300), dtype=torch.uint8, generator=torch.manual_seed(0))
        assert torch.equal(grey8(colour.float() / 255), grey8(colour))

    def test_ties_go_to_even_even_in_float32(self) -> None:
        levels = torch.arange(255)
        between = (levels.float() / 255 + (levels + 1).float() / 255) / 2
        expected = torch.round(levels.double() + 0.5).to(torch.uint8)
        assert torch.equal(grey8(between[None])[0], expected)

    def test_grey_colour_keeps_its_levels(self) -> None:
        levels = torch.arange(256, dtype=torch.uint8).reshape(16, 16)
        assert torch.equal(grey8(levels.expand(3, 16, 16)), levels)
        assert torch.equal(grey8(levels[None]), levels)
        assert torch.equal(grey8(levels), levels)
        assert torch.equal(grey8(levels.double() / 255), levels)

    def test_clips(self) -> None:
        assert grey8(torch.tensor([[-0.5, 1.5]])).tolist() == [[0, 255]]

    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_refuses_what_has_no_level(self, bad: float) -> None:
        with pytest.raises(ValueError, match="NaN"):
            grey8(torch.tensor([[0.5, bad]]))

    @pytest.mark.parametrize("shape", [(1, 1, 4, 4), (2, 4, 4), (4, 4, 4), (4,), (0, 4)])
    def test_refuses_other_shapes(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match="shape"):
            grey8(torch.zeros(shape))

    def test_refuses_other_integers(self) -> None:
        with pytest.raises(ValueError, match="int32"):
            grey8(torch.zeros(4, 4, dtype=torch.int32))


class TestDeclaration:
    def test_every_class_is_a_component(self) -> None:
        specs = [spec for spec in fusekit_components() if spec.in_tables]
        assert [s.name for s in specs] == [
            f"strict.{n}" for n in ("en", "sd", "sf", "ag", "mi", "cc", "scd", "vif", "qabf", "ssim")
        ]
        assert {s.target for s in specs} == {f"{m.__module__}:{m.__qualname__}" for m in ALL}
        assert {s.name.removeprefix("strict.") for s in specs} == {m.name.lower() for m in ALL}

    def test_all_are_strict_and_point_upwards(self) -> None:
        assert all(m.dialect == "strict" and m.higher_is_better for m in ALL)

    def test_the_entry_module_loads_without_torch(self) -> None:
        script = (
            "import sys, fusekit_metrics.strict_plugin as entry\n"
            "entry.fusekit_components()\nprint('torch' in sys.modules)"
        )
        shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert shown.stdout.strip() == "False"


class TestKnownAnswers:
    def test_constant_image(self) -> None:
        for metric in (Entropy, StandardDeviation, SpatialFrequency, AverageGradient):
            assert value(metric, constant(200), A, B) == 0.0, metric.name

    def test_two_levels(self) -> None:
        half = constant(10)
        half[:32] = 30
        assert value(Entropy, half, A) == pytest.approx(1.0)
        assert value(StandardDeviation, half, A) == pytest.approx(10.0)
        quarter = constant(0)
        quarter[:16] = 255
        assert value(Entropy, quarter, A) == pytest.approx(0.25 * 2 + 0.75 * math.log2(4 / 3))

    def test_every_level_once_has_eight_bits(self) -> None:
        levels = torch.arange(256, dtype=torch.uint8).reshape(16, 16)
        assert value(Entropy, levels, levels) == pytest.approx(8.0)

    def test_checkerboard(self) -> None:
        board = ((torch.arange(8)[:, None] + torch.arange(8)) % 2 * 50).to(torch.uint8)
        assert value(SpatialFrequency, board, board) == pytest.approx(50 * math.sqrt(2))
        # Central differences see nothing inside; the one-sided ones at the border see every step.
        corners, edges = 4 * 50.0, 24 * 50 / math.sqrt(2)
        assert value(AverageGradient, board, board) == pytest.approx((corners + edges) / 64)

    def test_ramp(self) -> None:
        ramp = (torch.arange(20) * 7).to(torch.uint8).expand(10, 20)
        assert value(SpatialFrequency, ramp, ramp) == pytest.approx(7.0)
        assert value(AverageGradient, ramp, ramp) == pytest.approx(7 / math.sqrt(2))

    def test_identical_images(self) -> None:
        information = MutualInformation()(A, (A, A))
        assert information.value == pytest.approx(2 * entropy(A))
        assert information.per_source == pytest.approx((entropy(A), entropy(A)))
        assert value(CorrelationCoefficient, A, A, A) == pytest.approx(1.0)
        assert value(StructuralSimilarity, A, A, A) == pytest.approx(2.0)
        assert value(VisualInformationFidelity, A, A, A) == pytest.approx(2.0, abs=1e-6)
        best = 0.9994 / (1 + math.exp(-7.5)) * 0.9879 / (1 + math.exp(-4.4))
        assert value(EdgePreservation, A, A, A) == pytest.approx(best)

    def test_negative(self) -> None:
        negative = 255 - A
        assert value(CorrelationCoefficient, negative, A) == pytest.approx(-1.0)
        assert value(MutualInformation, negative, A) == pytest.approx(entropy(A))
        assert value(VisualInformationFidelity, negative, A) == 0.0

    def test_independent_images_share_nothing(self) -> None:
        rows = torch.arange(256, dtype=torch.uint8)[:, None].expand(256, 256)
        assert mutual_information(rows.contiguous(), rows.T.contiguous()) == pytest.approx(0.0, abs=1e-9)

    def test_scd_of_a_sum_is_two(self) -> None:
        first, second = A // 4, B // 4
        assert value(SumOfCorrelationsOfDifferences, first + second, first, second) == pytest.approx(2.0)

    def test_brighter_image_keeps_its_edges(self) -> None:
        dark = A // 2
        assert value(EdgePreservation, dark + 40, dark) == pytest.approx(value(EdgePreservation, dark, dark))

    def test_edges_of_half_strength(self) -> None:
        # A vertical step: G = 1/2 where there is an edge, and the direction is kept.
        step = constant(0, 12, 12)
        step[:, 6:] = 200
        expected = 0.9994 / 2 * 0.9879 / (1 + math.exp(-4.4))
        assert value(EdgePreservation, step // 2, step) == pytest.approx(expected)

    def test_a_picture_without_an_edge_at_its_border_gets_none(self) -> None:
        # A zero border would make a frame of strong edges, kept by any image of the same brightness.
        step = constant(100, 12, 12)
        step[:, 6:] = 200
        assert value(EdgePreservation, constant(150, 12, 12), step) < 1e-3


class TestUndefined:
    @pytest.mark.parametrize("metric", [CorrelationCoefficient, SumOfCorrelationsOfDifferences])
    def test_constant_source(self, metric: type[Metric]) -> None:
        assert math.isnan(value(metric, F, A, constant(9)))

    def test_constant_fused_image(self) -> None:
        assert math.isnan(value(CorrelationCoefficient, constant(9), A, B))
        assert value(VisualInformationFidelity, constant(9), A, B) == 0.0
        assert value(MutualInformation, constant(9), A, B) == pytest.approx(0.0, abs=1e-12)
        assert value(EdgePreservation, constant(9), A, B) < 1e-3

    def test_constant_source_has_no_information_to_keep(self) -> None:
        result = VisualInformationFidelity()(F, (A, constant(200)))
        assert math.isnan(result.value)
        assert math.isnan(result.per_source[1])
        assert result.per_source[0] == vif(A, F)

    def test_no_source_has_an_edge(self) -> None:
        assert math.isnan(value(EdgePreservation, F, constant(9), constant(50)))
        one_flat = EdgePreservation()(F, (A, constant(50)))
        assert one_flat.value == one_flat.per_source[0]
        assert math.isnan(one_flat.per_source[1])

    def test_a_copy_has_no_scd(self) -> None:
        assert math.isnan(value(SumOfCorrelationsOfDifferences, A, A, B))
        assert math.isnan(value(SumOfCorrelationsOfDifferences, B, A, B))

    def test_vif_needs_41_pixels(self) -> None:
        assert math.isnan(value(VisualInformationFidelity, F[:40], A[:40], B[:40]))
        assert math.isfinite(value(VisualInformationFidelity, F[:41, :41], A[:41, :41], B[:41, :41]))

    @pytest.mark.parametrize("metric", ALL, ids=lambda m: m.name)
    def test_smallest_size(self, metric: type[Metric]) -> None:
        side = metric.minimum_size
        fits = [image[:side] for image in (F, A, B)]
        assert math.isfinite(value(metric, *fits))
        if side > 1:
            assert math.isnan(value(metric, *(image[: side - 1] for image in (F, A, B))))


class TestSources:
    @pytest.mark.parametrize("metric", ALL, ids=lambda m: m.name)
    def test_any_number(self, metric: type[Metric]) -> None:
        for sources in ((A,), (A, B), (A, B, C)):
            result = metric()(F, sources)
            alone = metric in (Entropy, StandardDeviation, SpatialFrequency, AverageGradient)  # of the fused image
            assert len(result.per_source) == (0 if alone else len(sources))
            undefined = metric is SumOfCorrelationsOfDifferences and len(sources) == 1
            assert math.isnan(result.value) == undefined

    @pytest.mark.parametrize(
        "metric", [MutualInformation, VisualInformationFidelity, StructuralSimilarity], ids=lambda m: m.name
    )
    def test_sums(self, metric: type[Metric]) -> None:
        single = [value(metric, F, source) for source in (A, B, C)]
        together = metric()(F, (A, B, C))
        assert together.per_source == pytest.approx(single)
        assert together.value == pytest.approx(sum(single))

    def test_cc_is_the_mean(self) -> None:
        assert value(CorrelationCoefficient, F, A, B, C) == pytest.approx(
            np.mean([pearson(F, source) for source in (A, B, C)])
        )

    def test_qabf_lies_between_its_sources(self) -> None:
        result = EdgePreservation()(F, (A, B))
        assert min(result.per_source) < result.value < max(result.per_source)

    @pytest.mark.parametrize("metric", ALL, ids=lambda m: m.name)
    def test_order_only_reorders(self, metric: type[Metric]) -> None:
        forward, backward = metric()(F, (A, B)), metric()(F, (B, A))
        assert forward.value == pytest.approx(backward.value)
        assert forward.per_source == pytest.approx(backward.per_source[::-1])

    def test_scd_of_three_sources(self) -> None:
        fused, sources = F.double().numpy(), [s.double().numpy() for s in (A, B, C)]
        expected = sum(np.corrcoef((fused - (sum(sources) - s) / 2).ravel(), s.ravel())[0, 1] for s in sources)
        assert value(SumOfCorrelationsOfDifferences, F, A, B, C) == pytest.approx(expected)

    def test_images_are_left_alone(self) -> None:
        before = [image.clone() for image in (F, A, B)]
        for metric in ALL:
            metric()(F, (A, B))
        assert all(torch.equal(now, then) for now, then in zip((F, A, B), before, strict=True))


class TestIndependentComputations:
    def test_information(self) -> None:
        first, second = A.numpy().ravel(), F.numpy().ravel()
        joint = np.histogram2d(first, second, bins=256, range=[[-0.5, 255.5]] * 2)[0] / first.size
        of_first, of_second = joint.sum(1), joint.sum(0)
        expected = 0.0
        for row, column in zip(*np.nonzero(joint), strict=True):
            share = joint[row, column]
            expected += share * math.log2(share / (of_first[row] * of_second[column]))
        assert mutual_information(A, F) == pytest.approx(expected, abs=1e-9)
        assert entropy(A) == pytest.approx(-sum(p * math.log2(p) for p in of_first if p), abs=1e-9)

    def test_statistics(self) -> None:
        fused, first, second = (image.double().numpy() for image in (F, A, B))
        assert value(StandardDeviation, F, A) == pytest.approx(fused.std())

        def r(x: np.ndarray, y: np.ndarray) -> float:
            return float(np.corrcoef(x.ravel(), y.ravel())[0, 1])

        mean = (r(first, fused) + r(second, fused)) / 2
        assert value(CorrelationCoefficient, F, A, B) == pytest.approx(mean)
        assert value(SumOfCorrelationsOfDifferences, F, A, B) == pytest.approx(
            r(fused - second, first) + r(fused - first, second)
        )

    def test_gradients(self) -> None:
        fused = F.double().numpy()
        down, across = np.gradient(fused)
        assert value(AverageGradient, F, A) == pytest.approx(np.sqrt((down**2 + across**2) / 2).mean())
        squares = (np.diff(fused, axis=0) ** 2).mean() + (np.diff(fused, axis=1) ** 2).mean()
        assert value(SpatialFrequency, F, A) == pytest.approx(math.sqrt(squares))

    def test_qabf_pixel_by_pixel(self) -> None:
        fused, *sources = (image[:13, :17].numpy().astype(int).tolist() for image in (F, A, B))
        kept = weights = 0.0
        for row in range(13):
            for column in range(17):
                strength, angle = _sobel_at(fused, row, column)
                for source in sources:
                    own_strength, own_angle = _sobel_at(source, row, column)
                    if own_strength == 0.0:
                        continue
                    ratio = min(strength, own_strength) / max(strength, own_strength)
                    turn = 1 - abs(angle - own_angle) / (math.pi / 2)
                    quality = 0.9994 / (1 + math.exp(-15 * (ratio - 0.5)))
                    quality *= 0.9879 / (1 + math.exp(-22 * (turn - 0.8)))
                    kept += quality * own_strength
                    weights += own_strength
        crops = [image[:13, :17] for image in (F, A, B)]
        assert value(EdgePreservation, *crops) == pytest.approx(kept / weights, abs=1e-12)

    @pytest.mark.parametrize("other", [A, B, C, 255 - A, constant(70)], ids=["A", "B", "C", "-A", "flat"])
    def test_torchmetrics_agrees(self, other: Tensor) -> None:
        if find_spec("torchmetrics") is None:
            pytest.skip("torchmetrics, the second opinion, is not installed")
        if find_spec("torchvision") is not None:
            import_torchvision()  # torchmetrics imports it, which fails beside a torch without CUDA
        from torchmetrics.functional.image import (
            structural_similarity_index_measure,
            visual_information_fidelity,
        )

        test, reference = other[None, None].double(), A[None, None].double()
        _, everywhere = structural_similarity_index_measure(
            test, reference, sigma=1.5, kernel_size=11, data_range=255.0, return_full_image=True
        )
        # torchmetrics reflects the image at its border; the paper's own index has valid places only.
        assert ssim(A, other) == pytest.approx(float(everywhere[..., 5:-5, 5:-5].mean()), abs=1e-9)
        fidelity = visual_information_fidelity(test, reference, sigma_n_sq=2.0)
        assert vif(A, other) == pytest.approx(float(fidelity), abs=1e-6)


def _sobel_at(image: list[list[int]], row: int, column: int) -> tuple[float, float]:
    """Strength and angle of the Sobel gradient at one pixel, the border repeated."""

    def at(down: int, right: int) -> int:
        clamped = max(0, min(row + down, len(image) - 1))
        return image[clamped][max(0, min(column + right, len(image[0]) - 1))]

    across = sum(w * (at(d, 1) - at(d, -1)) for d, w in ((-1, 1), (0, 2), (1, 1)))
    along = sum(w * (at(1, d) - at(-1, d)) for d, w in ((-1, 1), (0, 2), (1, 1)))
    return math.hypot(across, along), math.atan(along / across) if across else math.pi / 2
