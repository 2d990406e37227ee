"""``fusekit evaluate`` as a user types it: known answers, and every image that cannot be scored is said."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import fusekit as package
from fusekit.data.image_writing import write_raster
from fusekit.data.raster import Raster
from fusekit.errors import UsageError
from fusekit.interfaces import Metric, MetricValue
from fusekit.pipeline.metric_choice import choose_metrics
from fusekit.plugin import component
from fusekit.plugin.loader import PluginReport
from fusekit.plugin.registry import Registry, registry
from tests.command_line import Call

SIZE = (24, 32)
SOURCES = ["--source", "ir=ir", "--source", "vi=vi"]


def noise(seed: int, size: tuple[int, ...] = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def put(path: str, pixels: np.ndarray) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three pairs; the images in ``fused`` are copies of the first source."""
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        put(f"ir/{number}.png", noise(number))
        put(f"vi/{number}.bmp", noise(10 + number, (*SIZE, 3)))
        put(f"fused/{number}.png", noise(number))
    return tmp_path


def numbers(fusekit: Call, *words: str, code: int = 0) -> dict[str, Any]:
    """The JSON that a command saves."""
    done = fusekit("evaluate", *words, "--save", "numbers.json", "--overwrite")
    assert done.code == code, done.err
    return json.loads(Path("numbers.json").read_text())


def by_name(plain: dict[str, Any]) -> dict[str, Any]:
    return {method["name"]: method for method in plain["methods"]}


def test_a_copy_of_a_source_has_the_numbers_of_the_baseline_copy(fusekit: Call) -> None:
    done = fusekit("evaluate", "fused", *SOURCES, "--save", "numbers.json")
    assert done.code == 0
    plain = json.loads(Path("numbers.json").read_text())
    rows = by_name(plain)
    assert list(rows) == ["fused", "copy ir", "copy vi", "mean", "max", "laplacian"]
    assert rows["fused"]["mean"] == rows["copy ir"]["mean"]
    assert rows["fused"]["mean"] != rows["copy vi"]["mean"]
    histogram = np.bincount(noise(1).ravel(), minlength=256) / noise(1).size
    entropy = -sum(p * np.log2(p) for p in histogram if p)
    assert rows["fused"]["per_image"]["strict.en"][1] == pytest.approx(entropy, abs=1e-6)
    assert plain["scenes"] == ["0", "1", "2"]
    assert rows["fused"]["images"] == 3
    assert {m["dialect"] for m in plain["metrics"].values()} == {"strict"}


def test_the_table_is_on_stdout_with_its_conditions(fusekit: Call) -> None:
    done = fusekit("evaluate", "fused", *SOURCES, "--quiet")
    assert done.code == 0
    lines = done.out.splitlines()
    for part in ("Images: 3", "Dialect: strict", "8-bit levels as they are", "BT.601 grey"):
        assert part in lines[0]
    assert [line.split("  ")[0] for line in lines if line.startswith("copy")][:2] == ["copy ir", "copy vi"]
    assert "Qabf ↑" in done.out
    assert max(map(len, lines[1:8])) <= 80
    assert done.err == ""
    assert "3/3" in fusekit("evaluate", "fused", *SOURCES).err


def test_one_pair_of_files(fusekit: Call) -> None:
    words = ["fused/0.png", "--source", "ir=ir/0.png", "--source", "vi=vi/0.bmp", "--no-baselines"]
    plain = numbers(fusekit, *words)
    assert plain["scenes"] == ["0"]
    assert list(by_name(plain)) == ["0"]


def test_several_methods_and_the_api(fusekit: Call) -> None:
    for number in range(3):
        put(f"other/{number}.png", noise(50 + number))
    plain = numbers(fusekit, "first=fused", "second=other", *SOURCES, "--no-baselines")
    assert list(by_name(plain)) == ["first", "second"]
    done = package.evaluate({"first": "fused", "second": "other"}, {"ir": "ir", "vi": "vi"}, baselines=False)
    assert by_name(dict(done.plain)) == by_name(plain)
    assert (dict(done.unscored), dict(done.failed)) == ({}, {})


class TestMissing:
    def test_stems_without_a_fused_image_or_a_source(self, fusekit: Call) -> None:
        put("fused/extra.png", noise(1))
        Path("fused/2.png").unlink()
        done = fusekit("evaluate", "fused", *SOURCES, "--save", "numbers.json", "--save", "numbers.csv")
        assert done.code == 1
        assert "fused: no image with this stem in fused (stem 2)" in done.err
        assert "no image with this stem in ir, vi (stem extra)" in done.err
        assert "2 of 4 images could not be scored" in done.err
        assert "Images: 2" in done.out
        plain = json.loads(Path("numbers.json").read_text())
        assert plain["scenes"] == ["0", "1"]
        assert all(method["images"] == 2 for method in plain["methods"])  # baselines too, so the rows are comparable
        errors = [
            row
            for row in csv.DictReader(Path("numbers.csv").read_text().splitlines())
            if row["error"] and not row["metric"]
        ]
        assert [(row["method"], row["image"]) for row in errors] == [("fused", "2"), ("", "extra")]

    def test_the_first_ten_stems_and_their_number(self, fusekit: Call) -> None:
        for number in range(12):
            put(f"fused/x{number:02d}.png", noise(1))
        err = fusekit("evaluate", "fused", *SOURCES).err
        assert "x00, x01, x02, x03, x04, x05, x06, x07, x08, x09, … 12 in all" in err
        assert "x10" not in err

    def test_a_method_that_lacks_an_image_is_marked_and_never_the_best(self, fusekit: Call) -> None:
        for number in range(2):
            put(f"other/{number}.png", noise(50 + number))
        done = fusekit("evaluate", "fused", "other", *SOURCES, "--no-baselines", "--save", "numbers.json")
        assert done.code == 1
        rows = by_name(json.loads(Path("numbers.json").read_text()))
        assert (rows["fused"]["images"], rows["other"]["images"]) == (3, 2)
        assert rows["other"]["per_image"]["strict.en"][2] is None
        assert "strict.en" not in rows["other"]["undefined"]  # a missing image is not an undefined value
        other = next(line for line in done.out.splitlines() if line.startswith("other"))
        assert other.startswith("other‡")
        assert "*" not in other
        assert "other on 2 of 3" in done.out


class TestFaultyImages:
    def test_another_size_than_the_sources(self, fusekit: Call) -> None:
        put("fused/1.png", noise(1, (24, 33)))
        done = fusekit("evaluate", "fused", *SOURCES)
        assert done.code == 1
        assert "the fused image is 24x33 (height x width), but its sources are 24x32 (stem 1)" in done.err
        assert "Images: 2" in done.out

    def test_sources_of_different_size(self, fusekit: Call) -> None:
        put("vi/1.bmp", noise(1, (30, 32)))
        done = fusekit("evaluate", "fused", *SOURCES)
        assert done.code == 1
        assert "the sources differ in size (height x width): ir 24x32, vi 30x32 (stem 1)" in done.err

    @pytest.mark.parametrize("path", ["fused/1.png", "ir/1.png"])
    def test_unreadable(self, fusekit: Call, path: str) -> None:
        Path(path).write_bytes(b"no image")
        done = fusekit("evaluate", "fused", *SOURCES)
        assert done.code == 1
        assert f"{path}: is not an image that fusekit reads" in done.err
        assert "Images: 2" in done.out

    def test_several_images_of_one_stem(self, fusekit: Call) -> None:
        put("fused/1.bmp", noise(1))
        done = fusekit("evaluate", "fused", *SOURCES)
        assert done.code == 1
        assert "more than one image with this stem in fused" in done.err

    def test_sixteen_bits_beside_eight(self, fusekit: Call) -> None:
        before = by_name(numbers(fusekit, "fused", *SOURCES))["fused"]["mean"]
        for number in range(3):
            Path(f"ir/{number}.png").unlink()
            write_raster(Path(f"ir/{number}.tif"), Raster(noise(number).astype(np.uint16) * 257, 65535.0))
        done = fusekit("evaluate", "fused", *SOURCES, "--save", "n.json", "--save", "n.md")
        assert done.code == 0
        assert "ir: 16 bits in 3 of 3 files" in done.err
        assert "round(255 v / 65535)" in Path("n.md").read_text()
        plain = json.loads(Path("n.json").read_text())
        assert plain["bit_depths"]["ir"] == {"16": 3}
        assert plain["bit_depths"]["fused fused"] == {"8": 3}
        assert by_name(plain)["fused"]["mean"] == before

    def test_undefined_values_are_counted_and_not_averaged(self, fusekit: Call) -> None:
        put("fused/1.png", np.full(SIZE, 7, np.uint8))
        done = fusekit("evaluate", "fused", *SOURCES, "--save", "n.json", "--save", "n.csv")
        assert done.code == 0
        row = by_name(json.loads(Path("n.json").read_text()))["fused"]
        values = row["per_image"]["strict.cc"]
        assert values[1] is None
        assert row["undefined"]["strict.cc"] == 1
        assert row["mean"]["strict.cc"] == pytest.approx((values[0] + values[2]) / 2)
        assert "CC is undefined on some images" in done.out
        rows = list(csv.DictReader(Path("n.csv").read_text().splitlines()))
        one = next(r for r in rows if (r["method"], r["image"], r["metric"]) == ("fused", "1", "strict.cc"))
        assert (one["value"], one["error"]) == ("", "undefined")


def test_values_of_each_source_in_csv(fusekit: Call) -> None:
    fusekit("evaluate", "fused", *SOURCES, "--save", "n.csv", "--no-baselines", "--metric", "mi")
    rows = list(csv.DictReader(Path("n.csv").read_text().splitlines()))
    assert list(rows[0]) == ["method", "image", "metric", "dialect", "value", "value ir", "value vi", "error"]
    assert [(row["method"], row["image"], row["metric"], row["dialect"]) for row in rows] == [
        ("fused", str(number), "strict.mi", "strict") for number in range(3)
    ]
    for row in rows:
        assert float(row["value"]) == pytest.approx(float(row["value ir"]) + float(row["value vi"]))


def test_ideal(fusekit: Call) -> None:
    plain = numbers(fusekit, "fused", *SOURCES, "--ideal", "ir")
    assert list(plain["metrics"])[-2:] == ["ideal.psnr", "ideal.ssim"]
    assert by_name(plain)["fused"]["mean"]["ideal.ssim"] == 1.0
    done = fusekit("evaluate", "fused", *SOURCES, "--metric", "ideal.psnr")
    assert done.code == 2
    assert "--ideal" in done.err


REFUSED = [
    ([], 2, "Missing argument"),
    (["fused", "--source", "ir=ir"], 2, "needs two or more sources, got 1"),
    (["fused", "--source", "ir"], 2, "not of the form ROLE=PATH"),
    (["fused", *SOURCES, "--source", "ir=vi"], 2, "given twice"),
    (["a=fused", "a=ir", *SOURCES], 2, "two methods have the name a"),
    (["fused", "deep/fused", *SOURCES], 2, "two methods have the name fused"),
    (["mean=fused", *SOURCES], 2, "has the name of a baseline: mean"),
    (["=fused", *SOURCES], 2, "not of the form NAME=PATH"),
    (["fused", "--source", "ir=ir/0.png", "--source", "vi=vi"], 2, "several kinds"),
    (["fused", *SOURCES, "--dialect", "strickt"], 2, "did you mean 'strict'"),
    (["fused", *SOURCES, "--metric", "strict.qab"], 2, "did you mean 'strict.qabf'"),
    (["fused", *SOURCES, "--metric", "qabff"], 2, "did you mean 'qabf'"),
    (["fused", *SOURCES, "--dialect", "strict", "--metric", "ideal.psnr"], 2, "not of the chosen dialect"),
    (["fused", *SOURCES, "--save", "table.htm"], 2, "did you mean '.html'"),
    (["fused", *SOURCES, "--save", "there.csv"], 2, "there.csv exists and is not overwritten"),
    (["fused", *SOURCES, "--save", "x.csv", "--save", "x.csv"], 2, "named twice"),
    (["nowhere", *SOURCES], 4, "nowhere: the file or folder does not exist"),
    (["empty", *SOURCES], 4, "empty: the folder contains no images"),
    (["fused", "--source", "ir=ir", "--source", "vi=empty"], 4, "empty: the folder contains no images"),
    (["others", *SOURCES], 4, "no image could be scored: "),
    (["wide", *SOURCES], 4, "0: the fused image is 24x40"),
]


@pytest.mark.parametrize(("words", "code", "says"), REFUSED, ids=[f"{c} {s[:30]}" for _, c, s in REFUSED])
def test_refused(fusekit: Call, words: list[str], code: int, says: str) -> None:
    Path("empty").mkdir()
    Path("there.csv").write_text("kept")
    put("deep/fused/0.png", noise(0))
    put("others/other.png", noise(0))
    put("wide/0.png", noise(0, (24, 40)))
    done = fusekit("evaluate", *words)
    assert done.code == code, done.err
    assert says in done.err
    assert done.out == ""
    assert Path("there.csv").read_text() == "kept"


def test_overwrite_and_a_name_with_an_equals_sign(fusekit: Call) -> None:
    put("a=b/0.png", noise(0))
    Path("there.csv").write_text("old")
    done = fusekit("evaluate", "a=b", *SOURCES, "--save", "there.csv", "--overwrite", "--no-baselines")
    assert done.code == 1  # two stems have no fused image
    assert Path("there.csv").read_text().startswith("method,image")
    assert "a=b" in done.out


def test_a_source_given_as_the_fused_images_is_said(fusekit: Call) -> None:
    done = fusekit("evaluate", "ir", *SOURCES)
    assert done.code == 0
    assert "ir is given twice" in done.err


class Brightness(Metric):
    """Mean grey level."""

    name = "B"
    dialect = "other"

    def measure(self, fused: torch.Tensor, sources: Any) -> MetricValue:
        return MetricValue(float(fused.double().mean()))


class TestDialects:
    def registry(self) -> Registry:
        made = tuple(
            component("metric", f"toy.{name}", target=f"{__name__}:{target}", summary="toy")
            for name, target in (("qabf", "Brightness"), ("b", "Brightness"), ("gone", "Gone"))
        )
        return Registry([*registry().reports, PluginReport("toy", "fusekit-toy", "1.0", "toy", components=made)])

    def test_all_metrics_of_a_dialect_by_the_attribute(self) -> None:
        chosen, notes = choose_metrics(self.registry(), ["other"], [], ideal=False)
        assert chosen == ["toy.qabf", "toy.b"]
        assert len(notes) == 1
        assert "toy.gone is left out" in notes[0]

    def test_a_name_chooses_within_the_dialects(self) -> None:
        known = self.registry()
        assert choose_metrics(known, ["other"], ["qabf"], ideal=False)[0] == ["toy.qabf"]
        assert choose_metrics(known, [], ["qabf"], ideal=False)[0] == ["strict.qabf"]
        assert choose_metrics(known, [], ["ssim"], ideal=False)[0] == ["strict.ssim"]  # ideal.ssim is not possible
        assert choose_metrics(known, [], ["toy.b"], ideal=False)[0] == ["toy.b"]
        with pytest.raises(UsageError, match="ambiguous"):
            choose_metrics(known, ["strict", "other"], ["qabf"], ideal=False)

    def test_the_ideal_is_needed_only_where_it_is_named(self) -> None:
        dialect = "against the known ideal"
        with pytest.raises(UsageError, match="needs the ideal"):
            choose_metrics(registry(), [dialect], [], ideal=False)
        assert choose_metrics(registry(), [dialect], [], ideal=True)[0] == ["ideal.psnr", "ideal.ssim"]
        assert "ideal.psnr" not in choose_metrics(registry(), ["strict", dialect], [], ideal=False)[0]


LOCAL = """
from fusekit.interfaces import Metric, MetricValue
from fusekit.plugin import component, hookimpl

class Darkness(Metric):
    name, dialect, higher_is_better = "D", "own", False

    def measure(self, fused, sources):
        return MetricValue(float(fused.double().mean()))

@hookimpl
def fusekit_components():
    return [component("metric", "local.dark", target=f"{__name__}:Darkness", summary="mean level")]
"""


def test_the_dialect_of_a_local_file(fusekit: Call) -> None:
    Path("own.py").write_text(LOCAL)
    for number in range(3):
        put(f"half/{number}.png", noise(number) // 2)
    words = ["fused", "half", *SOURCES, "--with", "own.py", "--dialect", "own", "--no-baselines", "--save", "n.json"]
    done = fusekit("evaluate", *words)
    assert done.code == 0
    assert "Dialect: own" in done.out
    plain = json.loads(Path("n.json").read_text())
    assert list(plain["metrics"]) == ["local.dark"]
    rows = by_name(plain)
    means = [float(noise(number).mean()) for number in range(3)]
    assert rows["fused"]["mean"]["local.dark"] == pytest.approx(sum(means) / 3)
    best = [line.split()[0] for line in done.out.splitlines() if line.endswith("*")]
    assert best == ["half"]  # lower is better


@pytest.mark.slow
def test_help_does_not_import_torch() -> None:
    code = (
        "import sys\nfrom fusekit.cli.app import main\n"
        "try: main(['evaluate', '--help'])\nfinally: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "False"
