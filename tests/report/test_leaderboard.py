"""The page and the tables of a benchmark: the numbers are there, marks are earned, names are only text."""

from __future__ import annotations

import copy
import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fusekit.report.benchmark_pictures import nearest_source_error, shared_scale, write_map, write_picture
from fusekit.report.benchmark_saving import save_benchmark
from fusekit.report.benchmark_text import benchmark_csv, benchmark_latex, benchmark_markdown, benchmark_text
from fusekit.report.benchmark_view import View
from fusekit.report.leaderboard import leaderboard_page
from fusekit.report.pictures import HEAT
from tests.report.test_report import Walk

HOSTILE = "</script><script>alert(1)</script>\"'&\u202egnp.exe\n| {x} \\input{y}"


def row(method: str, first: list[float | None], second: list[float | None], **more: Any) -> dict[str, Any]:
    """A row whose means and spreads are computed from its values."""
    values = {"strict.qabf": first, "cddfuse.mse": second}
    known = {key: [value for value in each if value is not None] for key, each in values.items()}
    return {
        "method": method,
        "failed": {},
        "values": values,
        "mean": {key: float(np.mean(each)) if each else None for key, each in known.items()},
        "spread": {key: float(np.std(each, ddof=1)) if len(each) > 1 else None for key, each in known.items()},
        "undefined": {},
        "rank": {},
        "mean_rank": None,
        **more,
    }


def dataset(name: str = "RoadScene") -> dict[str, Any]:
    """Three scenes: a model that leads by Qabf, a baseline with an undefined value, images that lack one scene."""
    against = {
        "strict.qabf": {"baseline": "maximum", "difference": 0.2, "low": 0.125, "high": 0.25, "images": 3},
        "cddfuse.mse": {"baseline": "maximum", "difference": 0.5, "low": -0.5, "high": 1.0, "images": 2},
    }
    return {
        "name": name,
        "roles": ["infrared", "visible"],
        "scenes": ["a", "b", "c"],
        "subset": f"{name}, split test, 3 scenes",
        "provenance": {"name": name, "synthetic": False, "labels": None, "note": ""},
        "unscored": {},
        "rows": [
            row("maximum", [0.5, 0.25, 0.375], [20.0, None, 40.0], undefined={"cddfuse.mse": 1}, mean_rank=1.5),
            row("ours", [0.75, 0.5, 0.475], [21.0, 30.0, 40.5], against=against, mean_rank=1.25),
            row("theirs", [0.9, None, 0.9], [1.0, None, 3.0], failed={"b": "no image with this stem"}),
        ],
        "pictures": {},
    }


def benchmark(*datasets: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The plain data of a benchmark."""
    metrics = {"strict.qabf": ("Qabf", "strict", "", True), "cddfuse.mse": ("MSE", "cddfuse", "levels²", False)}
    keys = ("name", "dialect", "unit", "higher_is_better")
    methods = [("maximum", "baseline", []), ("ours", "model", ["strict.qabf"]), ("theirs", "images", [])]
    return {
        "schema": 1,
        "name": "results",
        "title": "All methods",
        "created": "2026-01-02 03:04 UTC",
        "fusekit": "0.1.0",
        "conditions": [["Range", "clip"]],
        "notes": ["A note."],
        "metrics": {
            key: {**dict(zip(keys, each, strict=True)), "explanation": f"About {key}.", "version": "1"}
            for key, each in metrics.items()
        },
        "methods": [
            {"name": name, "kind": kind, "source": f"source of {name}", "trained_for": trained, "note": ""}
            for name, kind, trained in methods
        ],
        "datasets": list(datasets),
        "cost": None,
        "downstream": [],
        "robustness": [],
        **more,
    }


FULL: dict[str, Any] = {
    "cost": {
        "device": "cpu, 1 thread",
        "size": [480, 640],
        "repeats": 5,
        "note": "",
        "rows": [
            {"method": "ours", "parameters": 59856, "gflops": 37.0, "seconds": 0.17, "spread": 0.01, "peak_mib": 900.0},
            {"method": "maximum", "parameters": 0, "gflops": None, "seconds": 0.002, "spread": None, "peak_mib": 9.0},
        ],
    },
    "downstream": [
        {
            "dataset": "MSRS",
            "protocol": protocol,
            "task": "segmentation",
            "network": "segmenter-msrs",
            "explanation": "One network.",
            "labels": labels,
            "measure": "mean IoU",
            "columns": ["car", "person"],
            "rows": [{"method": "ours", "value": value, "spread": None, "columns": [0.8, None]}],
        }
        for protocol, labels, value in (("frozen", "pseudo", 0.381), ("retrained", "human", 0.472))
    ],
    "robustness": [
        {
            "dataset": "RoadScene",
            "transform": "degradations.noise",
            "title": "Noise",
            "severities": ["none", "light", "heavy"],
            "scenes": 8,
            "metrics": {"strict.qabf": {"maximum": [0.5, 0.25, None], "ours": [0.75, 0.5, 0.125]}},
        }
    ],
}


def words(page: str) -> str:
    """Visible text of a page, without its style, scripts and data."""
    text = re.sub(r"(?s)<(style|script).*?</\1>", " ", page)
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def md_row(text: str, name: str) -> list[str]:
    """Cells of the first row of a method."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


class TestMarkdown:
    def test_means_spreads_ranks_and_marks(self) -> None:
        text = benchmark_markdown(benchmark(dataset()))
        strict, cddfuse = text.split("### RoadScene, dialect ")[1:]
        assert md_row(strict, "ours") == ["ours", "model", "**1.25**", "**0.575** ± 0.152 ᵗ▲"]
        assert md_row(strict, "maximum") == ["maximum", "baseline", "1.50", "0.375 ± 0.125"]
        # The images that lack a scene have the highest mean and the lowest error, but are not compared.
        assert md_row(strict, "theirs") == ["theirs", "images", "–", "0.900 ± 0.000 †1"]
        assert md_row(cddfuse, "theirs")[3] == "2.00 ± 1.41 †1"
        assert md_row(cddfuse, "maximum")[3] == "**30.00** ± 14.14 †1"
        assert md_row(cddfuse, "ours")[3] == "30.50 ± 9.76"  # the interval of its difference contains zero
        assert "theirs: no image with this stem (stem b)" in text
        assert "undefined on some images, which are excluded from its mean: maximum on 1 of 3" in text

    def test_lines_are_ordered_by_mean_rank(self) -> None:
        names = [line.method.name for line in View(benchmark(dataset())).boards[0].lines]
        assert names == ["ours", "maximum", "theirs"]

    def test_summary_names_the_baselines_that_were_beaten(self) -> None:
        data = dataset()
        data["rows"][1]["against"]["cddfuse.mse"]["baseline"] = "copy visible"
        assert View(benchmark(data)).boards[0].verdict() == (
            "Lowest mean rank: ours (model, 1.25), maximum (baseline, 1.50). ours is significantly better than the "
            "best baseline in 1 of 2 metrics and significantly worse in 0. Best baselines: maximum in 1, copy "
            "visible in 1."
        )

    def test_failures_outside_of_the_scored_scenes_do_not_hide_undefined_values(self) -> None:
        data = dataset()
        data["rows"][0]["failed"] = {"not scored by anybody": "no memory"}
        assert "maximum on 1 of 3" in benchmark_markdown(benchmark(data))

    def test_ties_are_all_best(self) -> None:
        data = dataset()
        data["rows"] = [row(name, [0.5] * 3, [1.0] * 3, mean_rank=1.5) for name in ("maximum", "ours")]
        data["rows"].append(row("theirs", [0.25] * 3, [2.0] * 3, mean_rank=3.0))
        text = benchmark_markdown(benchmark(data))
        assert md_row(text, "ours") == ["ours", "model", "**1.50**", "**0.500** ± 0.000 ᵗ"]
        assert md_row(text, "maximum") == ["maximum", "baseline", "**1.50**", "**0.500** ± 0.000"]
        assert md_row(text, "theirs") == ["theirs", "images", "<u>3.00</u>", "<u>0.250</u> ± 0.000"]

    def test_protocols_are_separate_tables(self) -> None:
        text = benchmark_markdown(benchmark(dataset(), **FULL))
        frozen = text.split("## MSRS: segmentation, frozen protocol")[1].split("\n## ")[0]
        retrained = text.split("## MSRS: segmentation, retrained protocol")[1].split("\n## ")[0]
        assert "0.381" in frozen
        assert "0.472" not in frozen
        assert "0.472" in retrained
        assert "**Pseudo-labels:**" in frozen
        assert "Pseudo-labels" not in retrained
        assert "labels drawn by people" in retrained
        assert md_row(text.split("## Cost")[1], "ours") == ["ours", "59,856", "37.00", "170 ± 10", "900"]
        assert md_row(text.split("## Robustness")[1], "maximum") == ["maximum", "0.500", "0.250", "–"]


def test_lower_is_better_reverses_the_verdict() -> None:
    data = dataset()
    data["rows"][1]["against"]["cddfuse.mse"].update(low=0.25)
    data["rows"][1]["against"]["strict.qabf"].update(low=-0.3, high=-0.1)
    line = View(benchmark(data)).boards[0].lines[0]
    assert line.method.name == "ours"
    assert [score.verdict for score in line.scores] == ["worse", "worse"]
    data["rows"][1]["against"]["cddfuse.mse"].update(low=-0.75, high=-0.25)
    assert View(benchmark(data)).boards[0].lines[0].scores[1].verdict == "better"


def test_latex_has_baselines_apart_and_balanced_braces() -> None:
    text = benchmark_latex(benchmark(dataset(), **FULL))
    first = text.split("\\begin{tabular}")[1]
    assert first.index("maximum & ") < first.rindex("\\midrule") < first.index("ours & ")
    assert "ours & \\textbf{1.25} & \\textbf{0.575}{\\tiny$\\pm$0.152}$^{t,+}$ \\\\" in first
    assert "theirs & – & 0.900{\\tiny$\\pm$0.000}$^{\\dagger 1}$ \\\\".replace("–", "--") in first
    hostile = benchmark_latex(hostile_benchmark())
    for page in (text, hostile):
        bare = re.sub(r"(?m)^%.*$", "", re.sub(r"\\[^a-zA-Z]", "", page))
        assert bare.count("{") == bare.count("}")
        assert page.count("\\begin{") == page.count("\\end{")
        for tabular in page.split("\\begin{tabular}")[1:]:
            columns = len(tabular[1 : tabular.index("}")])
            body = tabular.split("\\midrule", 1)[1].split("\\bottomrule")[0]
            rows = [line for line in body.splitlines() if line.endswith(" \\\\")]
            assert rows
            assert {line.replace("\\&", "").count("&") for line in rows} == {columns - 1}
    assert "\\input" not in re.sub(r"(?m)^%.*$", "", hostile)


def test_csv_has_every_value() -> None:
    data = dataset()
    data["rows"][0]["per_source"] = {"cddfuse.mse": [[10.0, 30.0], None, [35.0, 45.0]]}
    data["unscored"] = {"d": "the sources differ in size"}
    rows = list(csv.DictReader(io.StringIO(benchmark_csv(benchmark(data)))))
    found = {(r["method"], r["image"], r["metric"]): r for r in rows}
    assert len(rows) == 3 * 2 + 3 * 2 + (2 * 2 + 1) + 1
    assert found["ours", "b", "strict.qabf"]["value"] == "0.5"
    assert found["maximum", "c", "cddfuse.mse"]["value visible"] == "45"
    assert found["maximum", "b", "cddfuse.mse"]["error"] == "undefined"
    assert found["theirs", "b", ""]["error"] == "no image with this stem"
    assert found["", "d", ""]["error"] == "the sources differ in size"
    assert {r["dialect"] for r in rows} == {"strict", "cddfuse", ""}


def test_text_fits_the_width() -> None:
    text = benchmark_text(benchmark(dataset(), dataset("MSRS")), 60)
    assert "MSRS: 3 images" in text
    table = [line for line in text.splitlines() if line.startswith(("ours", "maximum (baseline)", "theirs"))]
    assert any("0.575" in line for line in table)
    assert max(len(line) for line in table if ":" not in line and "(model" not in line) <= 60


class TestPage:
    def test_is_valid_and_shows_the_numbers(self) -> None:
        page = leaderboard_page(benchmark(dataset(), dataset("MSRS"), **FULL))
        walk = Walk(page)
        assert not walk.wrong
        assert not walk.open
        text = words(page)
        for expected in ("0.575", "±0.152", "1.25", "▲", "1 failed", "59,856", "frozen protocol", "0.381", "heavy"):
            assert expected in text, expected
        assert "+0.125" in text  # the interval of the difference
        assert "A note." in text
        identifiers = [attributes["id"] for _, attributes in walk.tags if "id" in attributes]
        assert len(set(identifiers)) == len(identifiers)
        targets = {attributes["href"] for tag, attributes in walk.tags if tag == "a"}
        assert {str(target).removeprefix("#") for target in targets} <= set(identifiers)

    def test_loads_only_pictures_below_its_folder(self) -> None:
        data = dataset()
        data["pictures"] = {
            "a": {
                "sources": {"infrared": "pictures/a%20#1.png", "visible": "//elsewhere.example/b.png"},
                "methods": {"ours": {"fused": "pictures/ö.png", "maps": {"strict.qabf": "pictures/q.png"}}},
            }
        }
        page = leaderboard_page(benchmark(data))
        pictures = [attributes["src"] for tag, attributes in Walk(page).tags if tag == "img" and "src" in attributes]
        assert pictures[:2] == ["./pictures/a%2520%231.png", ".///elsewhere.example/b.png"]
        assert "./pictures/%C3%B6.png" in pictures
        assert not re.search(r"https?:", page.replace("http://www.w3.org/2000/svg", ""))
        assert "default-src 'none'; img-src 'self'" in page

    def test_the_data_of_the_script_are_those_of_the_benchmark(self) -> None:
        page = leaderboard_page(benchmark(dataset()))
        data = json.loads(page.split('id="data">')[1].split("</script>")[0])
        ours = data[0]["methods"][0]
        assert ours["name"] == "ours"
        assert ours["values"] == [[0.75, 0.5, 0.475], [21.0, 30.0, 40.5]]
        assert data[0]["methods"][2]["failed"] == {"1": "no image with this stem"}
        assert data[0]["columns"][1] == {"name": "MSE (cddfuse)", "higher": False}

    def test_initial_comparison_starts_where_the_model_is_furthest_behind(self) -> None:
        data = dataset()
        data["rows"][1]["values"]["strict.qabf"] = [0.25, 0.5, 0.5]
        page = leaderboard_page(benchmark(data))
        body = page.split('class="pairs"')[1].split("</tbody>")[0]
        assert re.findall(r'<th scope="row">(\w)</th>', body) == ["a", "c", "b"]
        assert "\N{MINUS SIGN}0.250" in body
        classes = [attributes["class"] for tag, attributes in Walk(body).tags if tag == "span"]
        assert classes == ["bar worse", "bar better", "bar better"]

    def test_worst_source_exposes_a_copy(self) -> None:
        data = dataset()
        data["rows"][0]["per_source"] = {"strict.qabf": [[0.0625, 0.9375], None, [0.1875, 0.9375]]}
        data["rows"][1]["per_source"] = {"strict.qabf": [[0.5, 0.5]] * 3}
        page = leaderboard_page(benchmark(data))
        text = words(page.split("Values against each source</summary>")[1].split("</table>")[0])
        assert "maximum baseline 0.125 0.938 0.125 " in text + " "
        assert "ours model 0.500 0.500 0.500 best" in text
        assert "Values against each source" not in leaderboard_page(benchmark(dataset()))

    def test_an_empty_dataset_and_an_empty_benchmark(self) -> None:
        data = {**dataset(), "scenes": [], "rows": [], "unscored": {"a": "no source"}}
        for plain in (benchmark(data), benchmark(metrics={}, methods=[])):
            assert not Walk(leaderboard_page(plain)).wrong
            for write in (benchmark_markdown, benchmark_latex, benchmark_csv, benchmark_text):
                assert write(plain)
        assert "No image was scored." in words(leaderboard_page(benchmark(data)))
        assert "no source (stem a)" in benchmark_markdown(benchmark(data))

    def test_synthetic_data_are_stamped(self) -> None:
        data = dataset()
        data["provenance"].update(synthetic=True, note="Rendered streets.")
        assert "Synthetic data RoadScene: Rendered streets." in words(leaderboard_page(benchmark(data)))
        assert "**Synthetic data.** RoadScene: Rendered streets." in benchmark_markdown(benchmark(data))

    def test_every_format_is_written(self, tmp_path: Path) -> None:
        plain = benchmark(dataset())
        path = tmp_path / "new" / "index.html"
        save_benchmark(plain, path)
        assert path.read_text(encoding="utf-8") == leaderboard_page(plain)
        for suffix, start in ((".csv", "dataset,method"), (".tex", "%"), (".md", "# "), (".html", "<!DOCTYPE")):
            save_benchmark(plain, tmp_path / f"benchmark{suffix}")
            assert (tmp_path / f"benchmark{suffix}").read_text(encoding="utf-8").startswith(start)
        save_benchmark(plain, tmp_path / "benchmark.json")
        assert json.loads((tmp_path / "benchmark.json").read_text(encoding="utf-8")) == plain


def hostile_benchmark() -> dict[str, Any]:
    """A benchmark in which every text is hostile."""
    data = dataset(HOSTILE)
    data.update(scenes=[f"{HOSTILE}{index}" for index in range(3)], subset=HOSTILE, unscored={HOSTILE: HOSTILE})
    data["rows"][0]["method"] = HOSTILE
    data["rows"][2]["failed"] = {f"{HOSTILE}1": HOSTILE}
    data["rows"][1]["against"]["strict.qabf"]["baseline"] = HOSTILE
    data["pictures"] = {
        f"{HOSTILE}0": {
            "sources": {HOSTILE: HOSTILE},
            "methods": {HOSTILE: {"fused": HOSTILE, "maps": {HOSTILE: HOSTILE}}},
        }
    }
    plain = copy.deepcopy(benchmark(data, **copy.deepcopy(FULL)))
    plain.update(title=HOSTILE, conditions=[[HOSTILE, HOSTILE]], notes=[HOSTILE], created=HOSTILE)
    plain["methods"][0].update(name=HOSTILE, source=HOSTILE, note=HOSTILE)
    for metric in plain["metrics"].values():
        metric.update(name=HOSTILE, dialect=HOSTILE, unit=HOSTILE, explanation=HOSTILE)
    plain["cost"].update(device=HOSTILE, note=HOSTILE)
    plain["downstream"][0].update(dataset=HOSTILE, network=HOSTILE, explanation=HOSTILE, columns=[HOSTILE, HOSTILE])
    plain["robustness"][0].update(dataset=HOSTILE, title=HOSTILE, severities=[HOSTILE] * 3)
    plain["robustness"][0]["metrics"]["strict.qabf"] = {HOSTILE: [0.5, 0.25, 0.125]}
    return plain


def test_hostile_text_is_only_text() -> None:
    plain = hostile_benchmark()
    clean = Walk(leaderboard_page(benchmark(dataset(), **FULL)))
    page = leaderboard_page(plain)
    walk = Walk(page)
    assert not walk.wrong
    scripts = [sum(tag == "script" for tag, _ in each.tags) for each in (clean, walk)]
    assert scripts == [3, 3]
    assert all(not name.startswith("on") for _, attributes in walk.tags for name in attributes)
    for text in (page, benchmark_markdown(plain), benchmark_latex(plain), benchmark_text(plain)):
        assert "\u202e" not in text
    markdown = benchmark_markdown(plain)
    assert "<script" not in markdown
    tables = [line for line in markdown.splitlines() if line.startswith("|")]
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in tables if "± " in line}
    assert widths == {6}  # method, kind, rank and two metrics: a pipe in a name is no border


def test_methods_whose_names_look_alike_stay_apart() -> None:
    data = dataset()
    data["rows"][2]["method"] = "ours\u202e"
    plain = benchmark(data)
    plain["methods"][2]["name"] = "ours\u202e"
    names = [line.method.name for line in View(plain).boards[0].lines]
    assert names == ["ours", "maximum", "ours (2)"]
    assert "ours (2)" in benchmark_text(plain)


class TestPictures:
    def test_error_is_the_distance_to_the_nearest_source(self) -> None:
        fused = np.array([[0.5, 0.25], [1.0, 0.0]])
        sources = [np.zeros((1, 2, 2)), np.array([[0.5, 0.75], [0.25, 0.0]])]
        assert nearest_source_error(fused, sources).tolist() == [[0.0, 0.25], [0.75, 0.0]]
        levels = nearest_source_error(np.array([[51]], np.uint8), [np.array([[0.0]]), np.array([[1.0]])])
        assert levels.item() == pytest.approx(0.2)
        with pytest.raises(ValueError, match="of the shape"):
            nearest_source_error(fused, [np.zeros((3, 3))])

    def test_scale_is_shared_and_has_a_floor(self) -> None:
        assert shared_scale([np.zeros((4, 4)), np.full((4, 4), 1 / 255)]) == pytest.approx(8 / 255)
        assert shared_scale([np.zeros((4, 4)), np.full((4, 4), 0.5)]) == 0.5

    def test_map_is_coloured_from_zero_to_its_scale(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "map.png"
        write_map(np.array([[0.0, 0.25, 0.5, np.nan]]), path, scale=0.25)
        colours = np.asarray(Image.open(path).convert("RGB"))[0]
        assert colours.tolist() == [HEAT[0].tolist(), HEAT[255].tolist(), HEAT[255].tolist(), HEAT[0].tolist()]
        with pytest.raises(ValueError, match="positive"):
            write_map(np.zeros((2, 2)), path, scale=0.0)

    def test_picture_keeps_its_levels_and_is_scaled_down(self, tmp_path: Path) -> None:
        levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
        write_picture(levels, tmp_path / "a.png")
        assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), levels)
        write_picture(np.full((3, 1280, 20), 0.5), tmp_path / "b.png")
        with Image.open(tmp_path / "b.png") as picture:
            assert (picture.size, picture.mode) == ((10, 640), "RGB")
