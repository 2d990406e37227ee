"""The metrics of the strict dialect that are not in tables by default: known answers and slow second computations."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from fusekit.compat.torchvision_ops import import_torchvision
from fusekit.interfaces.metric import Metric
from fusekit_metrics.artefacts import FusionArtefacts
from fusekit_metrics.error import MeanSquaredError, SignalToNoise
from fusekit_metrics.features import GradientInformation, PixelInformation
from fusekit_metrics.fidelity import FusionFidelity
from fusekit_metrics.gradient import EdgeIntensity
from fusekit_metrics.information import CrossEntropy, NormalisedMutualInformation
from fusekit_metrics.multiscale import ExposureSimilarity, MultiScaleSimilarity, exposure_quality
from fusekit_metrics.perception import ContrastPreservation, SwitchedSimilarity, VisibleDifference
from fusekit_metrics.strict_plugin import fusekit_components
from tests.metrics.test_metrics import scene

ALL: tuple[type[Metric], ...] = (
    EdgeIntensity,
    NormalisedMutualInformation,
    CrossEntropy,
    MeanSquaredError,
    SignalToNoise,
    MultiScaleSimilarity,
    ExposureSimilarity,
    FusionFidelity,
    FusionArtefacts,
    PixelInformation,
    GradientInformation,
    ContrastPreservation,
    VisibleDifference,
    SwitchedSimilarity,
)
DOWNWARDS = {CrossEntropy, MeanSquaredError, FusionArtefacts, VisibleDifference}
# The best value: of a fused image that equals both sources.
BEST: dict[type[Metric], float] = {
    NormalisedMutualInformation: 2.0,
    CrossEntropy: 0.0,
    MeanSquaredError: 0.0,
    SignalToNoise: 10 * math.log10(255**2 * 12),
    MultiScaleSimilarity: 2.0,
    FusionFidelity: 1.0,
    FusionArtefacts: 0.0,
    PixelInformation: 1.0,
    GradientInformation: 1.0,
    ContrastPreservation: 1.0,
    VisibleDifference: 0.0,
    SwitchedSimilarity: 1.0,
}
A, B, C = (scene(seed, 176, 181) for seed in (1, 2, 3))
F = ((A.int() + B.int()) // 2).to(torch.uint8)
SMALL = tuple(image[60:73, 40:55] for image in (F, A, B))


def noisy(image: Tensor, strength: float) -> Tensor:
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(5)) * strength
    return (image + noise).round().clamp(0, 255).to(torch.uint8)


def value(metric: type[Metric], fused: Tensor, *sources: Tensor) -> float:
    return metric()(fused, sources).value


def gaussian(size: int, sigma: float) -> np.ndarray:
    offsets = np.arange(size) - size // 2
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * sigma**2))
    return window / window.sum()


def under(window: np.ndarray, image: np.ndarray) -> np.ndarray:
    return np.einsum("hwij,ij->hw", sliding_window_view(image, window.shape), window)


class TestWhatTheyAre:
    def test_every_class_is_a_component_outside_the_tables(self) -> None:
        specs = [spec for spec in fusekit_components() if not spec.in_tables and "colour" not in spec.target]
        assert [spec.target for spec in specs] == [f"{m.__module__}:{m.__qualname__}" for m in ALL]
        names = [m.name.lower().replace(" ", "-") for m in ALL]
        assert [spec.name for spec in specs] == [f"strict.{name}" for name in names]

    def test_names_and_directions(self) -> None:
        assert {m for m in ALL if not m.higher_is_better} == DOWNWARDS
        assert {m.dialect for m in ALL} == {"strict"}

    @pytest.mark.parametrize("metric", BEST, ids=lambda m: m.name)
    def test_the_best_is_an_image_that_equals_both_sources(self, metric: type[Metric]) -> None:
        assert value(metric, A, A, A) == pytest.approx(BEST[metric], abs=1e-6)

    @pytest.mark.parametrize("metric", [m for m in BEST if m is not FusionArtefacts], ids=lambda m: m.name)
    def test_noise_makes_it_worse(self, metric: type[Metric]) -> None:
        values = [value(metric, noisy(A, strength), A, A) for strength in (0, 4, 16)]
        if metric.higher_is_better:
            values = [-v for v in values]
        assert values == sorted(values)
        assert len(set(values)) == 3

    def test_noise_is_an_artefact_until_it_hides_the_edges(self) -> None:
        smooth = (40 * torch.linspace(0, 5, 60)[:, None] + torch.zeros(60, 50)).to(torch.uint8)
        assert 0 < value(FusionArtefacts, noisy(smooth, 1), smooth) < value(FusionArtefacts, noisy(smooth, 4), smooth)

    @pytest.mark.parametrize("metric", ALL, ids=lambda m: m.name)
    def test_any_number_of_sources(self, metric: type[Metric]) -> None:
        for sources in ((A,), (A, B), (A, B, C)):
            result = metric()(F, sources)
            assert math.isfinite(result.value)
            assert len(result.per_source) in (0, len(sources))

    @pytest.mark.parametrize("metric", [m for m in ALL if m is not FusionFidelity], ids=lambda m: m.name)
    def test_order_only_reorders(self, metric: type[Metric]) -> None:
        forward, backward = metric()(F, (A, B)), metric()(F, (B, A))
        assert forward.value == pytest.approx(backward.value)
        assert forward.per_source == pytest.approx(backward.per_source[::-1])

    @pytest.mark.parametrize("metric", ALL, ids=lambda m: m.name)
    def test_images_are_left_alone(self, metric: type[Metric]) -> None:
        before = [image.clone() for image in (F, A, B)]
        metric()(F, (A, B))
        assert all(torch.equal(now, then) for now, then in zip((F, A, B), before, strict=True))


class TestUndefined:
    FLAT = torch.full((60, 64), 9, dtype=torch.uint8)
    FUSED = A[:60, :64]

    @pytest.mark.parametrize(
        "metric", [NormalisedMutualInformation, FusionFidelity, ContrastPreservation, VisibleDifference]
    )
    def test_constant_images(self, metric: type[Metric]) -> None:
        assert math.isnan(value(metric, self.FLAT, self.FLAT, self.FLAT))

    def test_a_constant_source_cannot_be_stretched(self) -> None:
        for metric in (ContrastPreservation, VisibleDifference):
            result = metric()(self.FUSED, (self.FUSED, self.FLAT))
            assert math.isnan(result.value)

    def test_no_common_level(self) -> None:
        assert math.isnan(value(CrossEntropy, self.FLAT, self.FLAT + 1))

    def test_equal_error_is_bounded(self) -> None:
        assert value(SignalToNoise, A, A) == pytest.approx(58.92, abs=0.01)


class TestKnownAnswers:
    def test_error(self) -> None:
        flat = torch.full((12, 12), 20, dtype=torch.uint8)
        result = SignalToNoise()(flat + 5, (flat, flat + 10))
        assert result.value == pytest.approx(20 * math.log10(255 / 5))
        unequal = MeanSquaredError()(flat, (flat + 2, flat + 4))
        assert (unequal.value, unequal.per_source) == (10.0, (4.0, 16.0))
        # The mean of the errors, not of the ratios.
        assert value(SignalToNoise, flat, flat + 2, flat + 4) == pytest.approx(10 * math.log10(255**2 / 10))

    def test_edge_of_one_step(self) -> None:
        step = torch.zeros(12, 12, dtype=torch.uint8)
        step[:, 6:] = 100
        assert value(EdgeIntensity, step, step) == pytest.approx(400 * 2 / 12)

    def test_information(self) -> None:
        fused, source = SMALL[0].flatten().tolist(), SMALL[1].flatten().tolist()
        share = {level: fused.count(level) / len(fused) for level in set(fused)}
        expected = sum(
            source.count(level) / len(source) * math.log2(source.count(level) / len(source) / share[level])
            for level in set(source) & set(fused)
        )
        assert value(CrossEntropy, SMALL[0], SMALL[1]) == pytest.approx(expected)
        assert value(NormalisedMutualInformation, 255 - A, A) == pytest.approx(1.0)

    def test_no_new_edge_is_no_artefact(self) -> None:
        even = F // 2 * 2
        assert value(FusionArtefacts, even // 2, even, even) == 0.0
        assert value(FusionArtefacts, A, A, B) == 0.0

    def test_one_source_copied(self) -> None:
        for metric in (MultiScaleSimilarity, PixelInformation, GradientInformation):
            result = metric()(A, (A, B))
            assert result.per_source[0] == pytest.approx(1.0)
            assert result.per_source[1] < 1.0
        # Only one source is kept wherever the other one would be chosen.
        assert value(FusionFidelity, A, A, B) < FusionFidelity()(A, (A, B)).per_source[0]

    def test_qy_takes_the_nearer_source_where_they_differ(self) -> None:
        negative = 255 - A
        assert value(SwitchedSimilarity, A, A, negative) == pytest.approx(1.0)
        assert value(SwitchedSimilarity, negative, A, negative) == pytest.approx(1.0)


class TestSecondComputations:
    def test_torchmetrics_agrees(self) -> None:
        if find_spec("torchmetrics") is None:
            pytest.skip("torchmetrics, the second opinion, is not installed")
        if find_spec("torchvision") is not None:
            import_torchvision()
        from torchmetrics.functional.image import (
            multiscale_structural_similarity_index_measure,
            peak_signal_noise_ratio,
            structural_similarity_index_measure,
        )

        for fused, source in ((F, A), (noisy(A, 9), A), (C, B)):
            test, reference = fused[None, None].double(), source[None, None].double()
            expected = multiscale_structural_similarity_index_measure(
                test, reference, sigma=1.5, kernel_size=11, data_range=255.0
            )
            # On the last scale, torchmetrics counts places that reach over the border, and on the others it does not.
            _, last = structural_similarity_index_measure(
                *(torch.nn.functional.avg_pool2d(image, 16) for image in (test, reference)),
                sigma=1.5,
                data_range=255.0,
                return_full_image=True,
            )
            expected *= (last[..., 5:-5, 5:-5].mean() / last.mean()) ** 0.1333
            assert value(MultiScaleSimilarity, fused, source) == pytest.approx(float(expected), abs=1e-6)
            ratio = peak_signal_noise_ratio(test, reference, data_range=255.0)
            # torchmetrics keeps the range in float32.
            assert value(SignalToNoise, fused, source) == pytest.approx(float(ratio), abs=5e-6)

    def test_artefacts_pixel_by_pixel(self) -> None:
        images = (noisy(SMALL[0], 12), *SMALL[1:])
        padded = [np.pad(image.numpy().astype(float), 1, mode="reflect") for image in images]

        def edge(image: np.ndarray, row: int, column: int) -> tuple[float, float]:
            patch = image[row : row + 3, column : column + 3]
            weights = np.array([1, 2, 1])
            across = float(weights @ (patch[:, 2] - patch[:, 0])) / 8
            down = float(weights @ (patch[2] - patch[0])) / 8
            angle = 0.0 if across == down == 0 else math.copysign(math.pi / 2, across)
            return math.hypot(across, down), math.atan(across / down) if down else angle

        part = total = 0.0
        for row in range(SMALL[0].shape[0]):
            for column in range(SMALL[0].shape[1]):
                strength, angle = edge(padded[0], row, column)
                edges = [edge(image, row, column) for image in padded[1:]]
                for own, own_angle in edges:
                    ratio = 0.0 if min(own, strength) == 0 else min(own, strength) / max(own, strength)
                    turn = abs(abs(own_angle - angle) - math.pi / 2) * 2 / math.pi
                    kept = 0.9999 / (1 + math.exp(-19 * (ratio - 0.5))) * 0.9995 / (1 + math.exp(-22 * (turn - 0.5)))
                    weight = own**1.5 if own >= 2 else 0.001
                    total += weight
                    if strength > max(g for g, _ in edges):
                        part += (1 - math.sqrt(kept)) * weight
        assert part > 0
        assert value(FusionArtefacts, *images) == pytest.approx(part / total, abs=1e-12)

    @pytest.mark.parametrize("count", [1, 2, 3])
    def test_exposure_patch_by_patch(self, count: int) -> None:
        sources = np.stack([image[60:73, 40:55].numpy() for image in (A, B, C)][:count]).astype(float)
        fused = SMALL[0].numpy().astype(float)
        window, epsilon = gaussian(11, 1.5), np.finfo(float).eps
        expected = np.zeros((3, 5))
        for row in range(3):
            for column in range(5):
                patches = sources[:, row : row + 11, column : column + 11]
                patches = patches - patches.mean(axis=(1, 2), keepdims=True)
                norms = np.sqrt((patches**2).sum(axis=(1, 2)))
                consistency = (np.linalg.norm(patches.sum(axis=0)) + epsilon) / (norms.sum() + epsilon)
                power = min(math.tan(math.pi / 2 * min(consistency, 1 - epsilon)), 10.0)
                contrasts = norms + 0.001
                weights = (contrasts / 11) ** power + epsilon
                desired = np.einsum("n,nij->ij", weights / weights.sum() / contrasts, patches)
                desired *= contrasts.max() / np.linalg.norm(desired)
                of_fused = fused[row : row + 11, column : column + 11]
                first, second = (window * desired).sum(), (window * of_fused).sum()
                variance = (window * (desired - first) ** 2).sum() + (window * (of_fused - second) ** 2).sum()
                covariance = (window * (desired - first) * (of_fused - second)).sum()
                constant = (0.03 * 255) ** 2
                expected[row, column] = (2 * covariance + constant) / (variance + constant)
        found = exposure_quality(torch.from_numpy(sources), torch.from_numpy(fused))
        assert found.numpy() == pytest.approx(expected, abs=1e-9)

    def test_fidelity(self) -> None:
        fused, first, second = (image[:60, :64].numpy().astype(float) for image in (F, A, B))
        expected = 0.0
        pairs = [(first, fused), (second, fused)]
        for scale, weight in zip(range(1, 5), (1, 0, 0.15, 1), strict=True):
            size = 2 ** (5 - scale) + 1
            window = gaussian(size, size / 5)
            if scale > 1:
                pairs = [(under(window, a)[::2, ::2], under(window, b)[::2, ::2]) for a, b in pairs]
            terms = []
            for source, test in pairs:
                one, two = under(window, source), under(window, test)
                variance = np.maximum(under(window, source * source) - one * one, 0)
                of_test = np.maximum(under(window, test * test) - two * two, 0)
                covariance = under(window, source * test) - one * two
                gain = covariance / (variance + 1e-10)
                residue = np.maximum(np.where(gain < 0, of_test, of_test - gain * covariance), 1e-10)
                gain = np.maximum(gain, 0)
                noise = 0.005 * 255**2
                terms.append(
                    (gain, np.log10(1 + gain**2 * variance / (residue + noise)), np.log10(1 + variance / noise))
                )
            smaller = terms[0][0] < terms[1][0]
            preserved, available = (np.where(smaller, terms[0][i], terms[1][i]) for i in (1, 2))
            expected += weight / 2.15 * (preserved + 1e-7).sum() / (available + 1e-7).sum()
        found = value(FusionFidelity, *(image[:60, :64] for image in (F, A, B)))
        assert found == pytest.approx(expected, abs=1e-9)

    @pytest.mark.parametrize(
        ("metric", "feature"),
        [(PixelInformation, lambda x: x), (GradientInformation, lambda x: np.hypot(*np.gradient(x)))],
    )
    def test_features_window_by_window(self, metric: type[Metric], feature: Callable[[np.ndarray], np.ndarray]) -> None:
        fused, source = (feature(image.numpy().astype(float)) for image in SMALL[:2])
        found = []
        for row in range(fused.shape[0] - 2):
            for column in range(fused.shape[1] - 2):
                windows = [image[row : row + 3, column : column + 3].T.ravel() for image in (source, fused)]
                found.append(_shared(*windows))
        assert value(metric, *SMALL[:2]) == pytest.approx(np.mean(found), abs=1e-9)

    def test_contrast(self) -> None:
        def masked(image: Tensor) -> np.ndarray:
            seen = _through(
                _stretch(image),
                lambda r: np.exp(-((r / 15.387) ** 2)) - 0.7622 * np.exp(-((r / 1.3456) ** 2)),
                15,
            )
            height, width = seen.shape
            blurred = []
            for sigma in (2, 4):
                result = np.zeros_like(seen)
                for row in range(height):
                    for column in range(width):
                        down = np.arange(height)[:, None] - row
                        across = np.arange(width)[None] - column
                        window = np.exp(-(down**2 + across**2) / (2 * sigma**2)) / (2 * math.pi * sigma**2)
                        window[(abs(down) > 15) | (abs(across) > 15)] = 0
                        result[row, column] = (window * seen).sum()
                blurred.append(result)
            contrast = abs(blurred[0] / blurred[1] - 1)
            return contrast**3 / (contrast**2 + 0.0001)

        images = [image[:20, :23] for image in (F, A, B)]
        fused, *sources = map(masked, images)
        total = sum(m**2 for m in sources)
        quality = sum(m**2 / total * np.minimum(m, fused) / np.maximum(m, fused) for m in sources)
        assert value(ContrastPreservation, *images) == pytest.approx(quality.mean(), abs=1e-9)

    def test_visible_difference(self) -> None:
        images = [image[:20, :23] for image in (F, A, B)]
        fused, *sources = map(_stretch, images)
        part = total = 0.0
        for source in sources:
            seen = _through(source - fused, lambda r: 2.6 * (0.0192 + 0.144 * r) * np.exp(-((0.144 * r) ** 1.1)), 4)
            zeros = np.pad(source, 1)
            for top in range(0, 20, 16):
                for left in range(0, 23, 16):
                    saliency = 0.0
                    for row in range(top, min(top + 16, 20)):
                        for column in range(left, min(left + 16, 23)):
                            patch = zeros[row : row + 3, column : column + 3]
                            across = np.array([1, 2, 1]) @ (patch[:, 2] - patch[:, 0])
                            down = np.array([1, 2, 1]) @ (patch[2] - patch[0])
                            saliency += math.hypot(across, down) ** 5
                    part += saliency * (seen[top : top + 16, left : left + 16] ** 2).sum() / 256
                    total += saliency
        assert value(VisibleDifference, *images) == pytest.approx(part / total, rel=1e-9)

    def test_switched_similarity(self) -> None:
        alike = (noisy(A, 2)[:20, :23], A[:20, :23], noisy(A, 6)[:20, :23])
        for images in (SMALL, alike):
            fused, first, second = (image.numpy().astype(float) for image in images)
            window = gaussian(7, 1.5)
            constants = (2.55**2, 7.65**2)

            def variance(image: np.ndarray) -> np.ndarray:
                return under(window, image * image) - under(window, image) ** 2  # noqa: B023

            def ssim(a: np.ndarray, b: np.ndarray) -> np.ndarray:
                one, two = under(window, a), under(window, b)  # noqa: B023
                covariance = under(window, a * b) - one * two  # noqa: B023
                luminance = (2 * one * two + constants[0]) / (one**2 + two**2 + constants[0])  # noqa: B023
                return luminance * (2 * covariance + constants[1]) / (variance(a) + variance(b) + constants[1])  # noqa: B023

            agree = ssim(first, second) >= 0.75
            assert agree.any() == (images is alike)
            share = variance(first) / (variance(first) + variance(second))
            blend = share * ssim(first, fused) + (1 - share) * ssim(second, fused)
            expected = np.where(agree, blend, np.maximum(ssim(first, fused), ssim(second, fused))).mean()
            assert value(SwitchedSimilarity, *images) == pytest.approx(expected, abs=1e-9)


def _stretch(image: Tensor) -> np.ndarray:
    levels = image.numpy().astype(float)
    return np.floor((levels - levels.min()) / (levels.max() - levels.min()) * 255 + 0.5)


def _through(image: np.ndarray, response: Callable[[np.ndarray], np.ndarray], unit: float) -> np.ndarray:
    """Filter in the frequency domain with explicit Fourier matrices."""
    waves, frequencies = [], []
    for length in image.shape:
        k = np.arange(length)
        waves.append(np.exp(-2j * math.pi * k[:, None] * k[None] / length))
        frequencies.append(np.where(k < (length + 1) // 2, k, k - length) / unit)
    spectrum = waves[0] @ image @ waves[1].T
    spectrum *= response(np.hypot(frequencies[0][:, None], frequencies[1][None]))
    return np.real(waves[0].conj() @ spectrum @ waves[1].conj().T) / image.size


def _shared(source: np.ndarray, fused: np.ndarray) -> float:
    """Normalised information of two windows, with sums written out."""
    if (source == fused).all():
        return 1.0

    def distribution(window: np.ndarray) -> np.ndarray:
        span = window.max() - window.min()
        levels = (window - window.min()) / span if span else np.ones(9)
        return levels / levels.sum()

    def entropy(masses: list[float]) -> float:
        return -sum(m * math.log2(abs(m)) for m in masses if m)

    p, q = distribution(source), distribution(fused)
    centred = p - p.mean(), q - q.mean()
    power = math.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum())
    correlation = float(centred[0] @ centred[1]) / power if power else 0.0
    below = [0.0, *np.cumsum(p)], [0.0, *np.cumsum(q)]

    def bound(i: int, j: int) -> float:
        one, two = below[0][i], below[1][j]
        return min(one, two) if correlation >= 0 else max(one + two - 1, 0.0)

    spread = 1.0
    for d in (p, q):
        mean = sum(i * m for i, m in enumerate(d))
        spread *= math.sqrt(sum((i - mean) ** 2 * m for i, m in enumerate(d)))
    covariance = sum(bound(i, j) - below[0][i] * below[1][j] for i in range(1, 10) for j in range(1, 10))
    phi = correlation * spread / covariance if spread and covariance else 0.0
    joint = []
    for i in range(1, 10):
        for j in range(1, 10):
            mass = bound(i, j) - bound(i - 1, j) - bound(i, j - 1) + bound(i - 1, j - 1)
            joint.append(phi * mass + (1 - phi) * p[i - 1] * q[j - 1])
    total = entropy(list(p)) + entropy(list(q))
    return 2 * (total - entropy(joint)) / total if total else 0.0
