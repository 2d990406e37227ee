"""Rows of the result table: each method has its own, whatever it is called."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from fusekit.evaluation.benchmark import Benchmark, Method
from fusekit.pipeline.evaluate_stage import method_names
from fusekit.pipeline.run import Run
from fusekit_metrics.information import Entropy
from tests.evaluation.toy import toy_run
from tests.networks import TinySegmenter, scene

SCENES = ["first", "second"]


@pytest.fixture(scope="module")
def namesake(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The mean of the sources, in a run called ``mean``, beside the baseline of that name; two scenes."""
    return toy_run(tmp_path_factory.mktemp("runs"), name="mean")


class TestModelNamedAsABaseline:
    def test_every_row_has_a_value_for_each_scene(self, namesake: Run) -> None:
        evaluation = json.loads(namesake.folder.evaluation.read_text())
        names = [method["name"] for method in evaluation["methods"]]
        assert names == ["mean (model)", "copy infrared", "copy visible", "mean", "max", "laplacian"]
        assert [method["is_model"] for method in evaluation["methods"]] == [True] + 5 * [False]
        assert evaluation["scenes"] == SCENES
        lengths = [len(values) for m in evaluation["methods"] for values in m["per_image"].values()]
        assert lengths == 6 * 10 * [2]

    def test_the_model_scores_what_the_same_baseline_scores(self, namesake: Run) -> None:
        methods = {m.pop("name"): m for m in json.loads(namesake.folder.evaluation.read_text())["methods"]}
        model, baseline = methods["mean (model)"], methods["mean"]
        assert model.pop("is_model") is not baseline.pop("is_model")
        assert model == baseline
        assert methods["max"]["mean"] != baseline["mean"]

    def test_csv_has_each_value_under_its_scene(self, namesake: Run) -> None:
        evaluation = json.loads(namesake.folder.evaluation.read_text())
        rows = list(csv.DictReader(namesake.folder.table.open()))
        assert [row["scene"] for row in rows] == 6 * ["first"] + 6 * ["second"]
        for method in evaluation["methods"]:
            values = method["per_image"]["strict.en"]
            assert values[0] != values[1]
            written = [row["EN (strict)"] for row in rows if row["method"] == method["name"]]
            assert written == [f"{value:.6g}" for value in values]

    def test_report_tells_the_two_apart(self, namesake: Run) -> None:
        page = namesake.folder.report.read_text()
        assert page.count('<th scope="row">mean (model)<') == page.count('<th scope="row">mean<') == 2  # means, sources


def test_a_baseline_listed_twice_has_two_rows_of_two_names(tmp_path: Path) -> None:
    mean = {"use": "baselines.mean"}
    folder = toy_run(tmp_path, evaluate={"baselines": [mean, mean], "pictures": 0}).folder
    methods = json.loads(folder.evaluation.read_text())["methods"]
    assert [method["name"] for method in methods] == ["toy", "mean", "mean (2)"]
    assert methods[1]["per_image"] == methods[2]["per_image"]


@pytest.mark.parametrize(
    ("model", "baselines", "shown"),
    [
        ("own", ["mean", "max"], ["own", "mean", "max"]),
        ("mean", ["mean", "mean"], ["mean (model)", "mean", "mean (2)"]),
        ("mean (2)", ["mean", "mean", "mean"], ["mean (2)", "mean", "mean (3)", "mean (4)"]),
        ("mean", ["mean (model)", "mean"], ["mean (model)", "mean (model) (2)", "mean"]),
    ],
)
def test_names_of_rows_are_never_the_same(model: str, baselines: list[str], shown: list[str]) -> None:
    assert method_names(model, baselines) == shown


class TestBenchmark:
    def test_rows_of_the_task_are_those_of_the_methods(self) -> None:
        network = TinySegmenter(4)
        images, labels = scene(batch=1)
        benchmark = Benchmark([Method("one", is_model=True), Method("two")], {"strict.en": Entropy()}, network)
        benchmark.add_scene("only", [image[0] for image in images], labels[0], [image[0] for image in images])
        rows = benchmark.to_plain()["task"]["rows"]
        assert [(row["input"], row["is_model"]) for row in rows] == [("one", True), ("two", False)]
        assert rows[0]["iou"] != rows[1]["iou"]

    def test_two_methods_of_one_name_are_refused(self) -> None:
        with pytest.raises(ValueError, match="the same name: mean, mean"):
            Benchmark([Method("mean", is_model=True), Method("mean")], {})

    @pytest.mark.parametrize("count", [1, 3])
    def test_another_number_of_results_than_methods_is_refused(self, count: int) -> None:
        benchmark = Benchmark([Method("one"), Method("two")], {"strict.en": Entropy()})
        image = torch.rand(1, 24, 24)
        with pytest.raises(ValueError, match=r"zip\(\)"):
            benchmark.add_scene("only", [image], None, count * [image])
