"""The tutorials, followed literally by somebody who has fusekit's wheel and an empty folder."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.docs.literal import Reader, blocks
from tests.docs.rendered import write_msrs
from tests.paths import REPOSITORY
from tests.plugin.installation import needs_hatchling, shared_installation

TUTORIALS = REPOSITORY / "docs" / "tutorials"
TOYSEG = REPOSITORY / "plugins" / "examples" / "fusekit-toyseg"
METHODS = ("first", "mean")
pytestmark = [pytest.mark.slow, needs_hatchling]


@pytest.fixture
def reader(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    installation = shared_installation(tmp_path_factory)
    yield Reader(tmp_path, installation.environment())
    installation.uninstall("fusekit-toyseg")  # of a page that was not followed to its end


def test_every_tutorial_is_followed_here() -> None:
    assert {page.name for page in TUTORIALS.glob("*.md")} == {
        "first-fusion.md",
        "first-plugin.md",
        "first-training-run.md",
        "researchers-afternoon.md",
    }


def test_first_fusion(reader: Reader, tmp_path: Path) -> None:
    reader.follow(TUTORIALS / "first-fusion.md")
    with Image.open(tmp_path / "fused.png") as fused:
        assert fused.size == (640, 480)
        assert fused.mode == "RGB"


def test_first_training_run(reader: Reader, tmp_path: Path) -> None:
    write_msrs(tmp_path / "MSRS")
    reader.follow(TUTORIALS / "first-training-run.md")
    runs = tmp_path / "runs"
    assert {run.name for run in runs.iterdir()} == {"first", "slower"}
    # The page says that resuming gives what an uninterrupted training would have given: no step is lost or repeated.
    log = [json.loads(line) for line in (runs / "slower" / "metrics.jsonl").read_text().splitlines()]
    assert [(row["phase"], row["step"]) for row in log] == [
        *(("warm_up", step) for step in range(1, 31)),
        *(("train", step) for step in range(1, 9)),
    ]
    # It says as well that the mean of the sources wins in most columns after so short a training.
    with (runs / "first" / "evaluation.csv").open() as table:
        rows = list(csv.DictReader(table))
    metrics = [name for name in rows[0] if name.endswith("(strict)")]
    sums = {m: [sum(float(row[metric]) for row in rows if row["method"] == m) for metric in metrics] for m in METHODS}
    assert sum(mean > trained for mean, trained in zip(sums["mean"], sums["first"], strict=True)) > len(metrics) / 2


def test_first_plugin(reader: Reader, tmp_path: Path) -> None:
    reader.follow(TUTORIALS / "first-plugin.md")
    assert (tmp_path / "runs" / "toy" / "report.html").is_file()
    assert (tmp_path / "fusekit-my-segmenter" / "pyproject.toml").is_file()


def test_researchers_afternoon(reader: Reader, tmp_path: Path) -> None:
    write_msrs(tmp_path / "RoadScene")
    for split in ("train", "test"):
        shutil.rmtree(tmp_path / "RoadScene" / split / "Segmentation_labels")  # the page says that no labels are needed
    reader.follow(TUTORIALS / "researchers-afternoon.md")
    table = (tmp_path / "table.tex").read_text("utf-8")
    for method in ("by-refusion", "by-uaafusion", "Weighted mean", "copy infrared", "copy visible", "max", "laplacian"):
        assert f"\n{method} & " in table
    folder = tmp_path / "results" / "by-refusion-vs-by-uaafusion-vs-Weighted-mean"
    assert (folder / "index.html").is_file()
    # The losses differ, and the page says that nothing is marked with so few images.
    scored = json.loads((folder / "benchmark.json").read_text("utf-8"))
    rows = {row["method"]: row for row in scored["datasets"][0]["rows"]}
    assert rows["by-refusion"]["values"] != rows["by-uaafusion"]["values"]
    assert not any(row["against"] for row in rows.values())


def test_the_plugin_of_the_tutorial_is_the_example() -> None:
    page = (TUTORIALS / "first-plugin.md").read_text("utf-8")
    shown = {block.title: block.text for block in blocks(page) if block.title not in (None, "toy.yaml")}
    files = (path for path in TOYSEG.rglob("*") if path.is_file() and path.suffix in (".py", ".toml", ".md", ".yaml"))
    example = {path.relative_to(TOYSEG).as_posix(): path.read_text("utf-8") for path in files}
    assert shown == example
