"""`score`: the same values as single calls, while sources are processed once; maps; versions; colour."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from fusekit._version import __version__
from fusekit.evaluation.benchmark import Benchmark, Method
from fusekit.evaluation.grey import grey8
from fusekit.evaluation.scoring import score, score_each, score_scenes
from fusekit.interfaces import Metric, MetricValue, ReferenceMetric, shared, sharing
from fusekit.interfaces.config import ComponentRef
from fusekit.model.assembly import Builder
from fusekit.plugin.registry import registry
from fusekit_metrics import cddfuse, tdfusion
from fusekit_metrics.filtering import filter_both
from fusekit_metrics.gradient import EdgePreservation, edges
from fusekit_metrics.structure import StructuralSimilarity
from tests.metrics.test_metrics import scene

SOURCES = (scene(1), scene(2))
FUSED = (scene(3), torch.maximum(*SOURCES), SOURCES[0])


def components(*namespaces: str) -> dict[str, Metric]:
    builder = Builder((), None, registry())
    names = [spec.name for spec in registry().specs("metric") if spec.namespace in namespaces]
    return {name: builder.build("metric", ComponentRef(use=name)) for name in names}


def same(first: MetricValue, second: MetricValue) -> bool:
    pairs = zip((first.value, *first.per_source), (second.value, *second.per_source), strict=True)
    return all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in pairs)


@pytest.mark.parametrize("threads", [1, 2])
def test_values_are_those_of_single_calls(threads: int) -> None:
    metrics = components("strict", "cddfuse", "tang", "tang-2022", "vifb", "zoo", "tdfusion", "ideal")
    metrics = {key: metric for key, metric in metrics.items() if not metric.colour and "fmi" not in key}
    assert len(metrics) > 60
    found = score(metrics, FUSED, SOURCES, SOURCES[1], threads=threads)
    for fused, values in zip(FUSED, found, strict=True):
        for key, metric in metrics.items():
            ideal = (SOURCES[1],) if isinstance(metric, ReferenceMetric) else ()
            assert same(values[key], metric(fused, SOURCES, *ideal)), key


class Counting(Metric):
    """Counts how often each image is processed."""

    name = "count"
    dialect = "test"

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[int] = Counter()

    @shared
    def mean(self, image: Tensor) -> float:
        self.calls[int(image[0, 0])] += 1
        return float(image.double().mean())

    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        return MetricValue(self.mean(fused) - sum(self.mean(source) for source in sources))


def grey(level: int) -> Tensor:
    return torch.full((4, 4), level, dtype=torch.uint8)


class TestSharing:
    def test_sources_are_processed_once_and_each_result_once(self) -> None:
        metric = Counting()
        values = score({"a": metric, "b": metric}, [grey(3), grey(4)], [grey(1), grey(2)])
        assert [one["b"].value for one in values] == [0.0, 1.0]
        assert metric.calls == {1: 1, 2: 1, 3: 1, 4: 1}

    def test_nothing_is_kept_afterwards(self) -> None:
        metric = Counting()
        image = grey(7)
        for _ in range(2):
            with sharing([image]):
                metric.mean(image)
                metric.mean(image)
        metric.mean(image)
        assert metric.calls[7] == 3

    def test_an_equal_image_that_is_not_the_same_is_processed(self) -> None:
        metric = Counting()
        image = grey(7)
        with sharing([image]):
            metric.mean(image)
            metric.mean(image.clone())
        assert metric.calls[7] == 2

    def test_blocks_do_not_surround_the_caller(self) -> None:
        metric = Counting()
        sources = [grey(1)]
        steps = score_each({"a": metric}, iter([grey(2), grey(3)]), sources, threads=1)
        next(steps)
        metric.mean(sources[0])  # not within a block, so it is processed again
        next(steps)
        assert metric.calls == {1: 2, 2: 1, 3: 1}


def test_scenes_in_threads() -> None:
    metrics = components("cddfuse")
    scenes = [(FUSED[:2], SOURCES, None), (FUSED[2:], SOURCES[::-1], None), (FUSED[:1], SOURCES, None)]
    before = torch.get_num_threads()
    found = score_scenes(metrics, scenes, threads=2)
    assert torch.get_num_threads() == before
    for (fused, sources, _), values in zip(scenes, found, strict=True):
        for one, expected in zip(values, score(metrics, fused, sources), strict=True):
            assert all(same(one[key], expected[key]) for key in metrics)


class TestBenchmark:
    def test_versions(self) -> None:
        benchmark = Benchmark([Method("a")], {"strict.qabf": EdgePreservation(), "local.count": Counting()})
        assert {key: m["version"] for key, m in benchmark.to_plain()["metrics"].items()} == {
            "strict.qabf": __version__,
            "local.count": None,
        }

    def test_colour_is_passed_through_and_grey_results_are_counted(self) -> None:
        metrics = {key: metric for key, metric in components("strict").items() if metric.colour}
        assert set(metrics) == {"strict.ciede2000", "strict.chroma"}
        benchmark = Benchmark([Method("colour"), Method("grey")], metrics)
        visible = torch.stack([scene(seed) for seed in (1, 2, 3)]).double() / 255.0
        infrared = scene(4)[None].double() / 255.0
        benchmark.add_scene("only", [infrared, visible], None, [visible, infrared])
        colour, grey_result = benchmark.to_plain()["methods"]
        assert colour["mean"] == pytest.approx({"strict.ciede2000": 0.0, "strict.chroma": 0.0}, abs=1e-12)
        assert grey_result["undefined"] == {"strict.ciede2000": 1, "strict.chroma": 1}


class TestMaps:
    @pytest.mark.parametrize("metric", [EdgePreservation(), cddfuse.EdgePreservation()], ids=lambda m: m.dialect)
    def test_the_weighted_mean_of_qabf(self, metric: EdgePreservation) -> None:
        found = metric.map(FUSED[0], SOURCES)
        weights = sum(metric.edges(source)[0] for source in SOURCES)
        assert found.shape == FUSED[0].shape
        assert 0 <= found.min() <= found.max() <= 1
        weighted = float((found * weights).sum() / weights.sum())
        assert weighted == pytest.approx(metric(FUSED[0], SOURCES).value, rel=1e-12)

    def test_qabf_where_the_sources_are_flat(self) -> None:
        flat, step = grey(9), torch.tensor([[0, 0, 0, 99]], dtype=torch.uint8).expand(4, 4)
        assert EdgePreservation().map(flat, (flat,)).min() > 0.9
        assert EdgePreservation().map(step, (flat,))[0].tolist() == pytest.approx([0.975, 0.975, 0, 0], abs=1e-3)

    @pytest.mark.parametrize(
        ("metric", "border"), [(StructuralSimilarity(), 5), (tdfusion.StructuralSimilarity(), 3)], ids=["11", "7"]
    )
    def test_the_mean_of_ssim(self, metric: StructuralSimilarity, border: int) -> None:
        found = metric.map(FUSED[0], SOURCES)
        assert found is not None
        assert found.shape == FUSED[0].shape
        inside = float(found[border:-border, border:-border].mean())
        assert inside == pytest.approx((1 + sum(metric(FUSED[0], SOURCES).per_source) / 2) / 2, rel=1e-12)

    def test_most_metrics_have_none(self) -> None:
        metrics = {"strict.sd": components("strict")["strict.sd"]}
        assert metrics["strict.sd"].map(FUSED[0], SOURCES) is None


class TestArithmetic:
    def test_the_table_of_edges_is_the_formula(self) -> None:
        image = scene(4, 40, 50)
        padded = torch.nn.functional.pad(image[None].double(), (1, 1, 1, 1), mode="replicate")[None]
        kernel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]], dtype=torch.float64)
        across, down = torch.nn.functional.conv2d(padded, torch.stack((kernel, kernel.T))[:, None])[0]
        angle = torch.where(across == 0, math.pi / 2, torch.atan(down / across))
        strength, found = edges(image)
        torch.testing.assert_close(strength, torch.hypot(across, down), rtol=1e-14, atol=0)
        torch.testing.assert_close(found, angle, rtol=1e-14, atol=1e-15)

    @pytest.mark.parametrize("step", [1, 2])
    @pytest.mark.parametrize("size", [(9, 9), (17, 30), (26, 11)])
    def test_filters_of_any_size(self, size: tuple[int, int], step: int) -> None:
        image = torch.rand(size, dtype=torch.float64, generator=torch.manual_seed(0))
        taps = (0.1, 0.2, 0.4, 0.2, 0.7)
        line = torch.tensor(taps, dtype=torch.float64)
        expected = torch.nn.functional.conv2d(image[None, None], torch.outer(line, line)[None, None], stride=step)[0, 0]
        torch.testing.assert_close(filter_both(image, taps, step), expected)
        torch.testing.assert_close(filter_both(torch.stack((image, image)), taps, step)[1], expected)

    def test_grey_of_a_colour_result_is_rounded_once(self) -> None:
        colour = torch.rand(3, 12, 12, dtype=torch.float64, generator=torch.manual_seed(0))
        metric = components("strict")["strict.sd"]
        expected = metric(grey8(colour), [grey8(colour)]).value
        assert score({"sd": metric}, [colour], [colour])[0]["sd"].value == expected
