"""The report: what comes from data is escaped, the page needs nothing else, and odd data do not break it."""

from __future__ import annotations

import base64
import io
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusekit.errors import RunError
from fusekit.report import pictures, render, write_report
from fusekit.report.curves import charts, log_ticks, short, smoothed, ticks
from fusekit.report.data import (
    Curve,
    MethodRow,
    MetricColumn,
    MetricTable,
    Picture,
    ReportData,
    SceneRow,
    Stamp,
    TaskRow,
    TaskTable,
)
from fusekit.report.tables import column_cells, metric_view, number, per_source_view, task_view

PALETTE = ((0, 0, 0), (64, 0, 128), (192, 64, 0))
VOID = {"meta", "img", "br", "hr", "input", "link", "wbr"}
EVIL = "<script>alert(1)</script>\"'&"


NAN = math.nan
ODD: dict[str, tuple[float, ...]] = {
    "empty": (),
    "one": (1.0,),
    "infinite": (NAN, math.inf, -math.inf),
    "gap": (1.0, NAN, 2.0, 3.0),
    "constant": (2.0,) * 60,
    "zero": (0.0,) * 5,
    "wide": (1e-12, 1e12),
    "negative": (-1.0, 1000.0),
    "many": tuple(NAN if i % 7 == 0 else 1.0 / (1 + i) for i in range(5000)),
}


class Walk(HTMLParser):
    """Follows the tags of a page: what stays open, what closes wrongly, and every attribute."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def picture(seed: int = 0, side: int = 48) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side + 16, 3), dtype=np.uint8)


def metric_table() -> MetricTable:
    up = [MetricColumn("EN", "strict", unit="bit", explanation="Entropy.")]
    up += [MetricColumn(name, "strict") for name in ("MI", "SCD")]
    columns = (*up, MetricColumn("Nabf", "cddfuse", higher_is_better=False))
    values = {"EN": 6.5, "MI": 2.0, "SCD": 1.5, "Nabf": 0.04}
    model = MethodRow("Model", True, values, {"MI": (0.9, 1.1)})
    values = {"EN": 6.1, "MI": 6.0, "SCD": NAN, "Nabf": 0.01}
    copy = MethodRow("Copy of visible", False, values, {"MI": (0.5, 5.5)}, {"SCD": 7})
    return MetricTable(columns, (model, copy), 7, "seven pairs", ("infrared", "visible"))


def task_table() -> TaskTable:
    rows = (TaskRow("Fused", True, 0.5, (0.9, 0.1, NAN)), TaskRow("Visible", False, 0.4, (0.8, 0.0, NAN)))
    return TaskTable("frozen network", ("unlabelled", "car", "bump"), PALETTE, rows)


def report_data() -> ReportData:
    shown = (
        Picture("Infrared", picture()[..., 0]),
        Picture("Visible", picture(1)),
        Picture("Fused", picture(2), kind="fused"),
        Picture("Weight", pictures.heat(picture(3)[..., 0] / 255.0), kind="weights"),
    )
    return ReportData(
        title="A run",
        summary="One sentence.",
        stamps=(Stamp("Synthetic data", "Rendered."), Stamp("Pseudo-labels", "Made by networks.")),
        facts=(("Seed", "42"),),
        scenes=(SceneRow("0001", shown, note="night"),),
        metrics=metric_table(),
        task=task_table(),
        curves=(Curve("Training", "total", tuple(range(100)), tuple(1.0 / (1 + i) for i in range(100))),),
        recipe="model:\n  backbone: {use: a.b}\n",
        created="2026-01-01",
    )


def bare(data: ReportData) -> ReportData:
    return replace(data, stamps=(), facts=(), scenes=(), metrics=None, task=None, curves=(), recipe="")


class TestPage:
    @pytest.mark.parametrize("data", [report_data(), bare(report_data())], ids=["full", "bare"])
    def test_is_well_formed(self, data: ReportData) -> None:
        walk = Walk(render(data))
        assert not walk.open + walk.wrong
        identities = [attrs["id"] for _, attrs in walk.tags if "id" in attrs]
        assert len(set(identities)) == len(identities)
        links = [attrs["href"] or "" for tag, attrs in walk.tags if tag == "a"]
        assert {link.removeprefix("#") for link in links} <= set(identities)

    def test_needs_nothing_from_outside(self) -> None:
        page = render(report_data())
        for _, attrs in Walk(page).tags:
            for name in ("src", "href", "srcset", "data", "poster", "action"):
                value = attrs.get(name)
                assert value is None or value.startswith(("data:image/", "#"))
        assert "@import" not in page
        assert "url(" not in page
        assert not re.search(r"https?://", page)

        assert '<html lang="en">' in page
        assert "width=device-width" in page
        assert page.count("<script>") == 1
        assert "default-src 'none'" in page
        assert "script-src 'sha256-" in page

    def test_everything_from_data_is_escaped(self) -> None:
        column = MetricColumn(EVIL, EVIL, unit=EVIL, explanation=EVIL)
        cells = ({EVIL: 1.0}, {EVIL: (1.0, 2.0)}, {EVIL: 1})
        rows = tuple(MethodRow(EVIL + name, name == "a", *cells) for name in ("a", "b"))
        scenes = (SceneRow(EVIL, (Picture(EVIL, picture(), EVIL),), EVIL),)
        metrics = MetricTable((column,), rows, 2, EVIL, (EVIL, "visible"), EVIL)
        task = TaskTable(EVIL, (EVIL,), PALETTE, (TaskRow(EVIL, True, 0.5, (0.5,)),), EVIL)
        curves = (Curve(EVIL, EVIL, (0, 1), (1.0, 2.0)),)
        stamps, facts = (Stamp(EVIL, EVIL),), ((EVIL, EVIL),)
        data = ReportData(EVIL, EVIL, stamps, facts, scenes, metrics, task, curves, EVIL, EVIL)
        page = render(data)
        assert "<script>alert" not in page
        assert page.count("<script>") == 1
        walk = Walk(page)
        assert not walk.open + walk.wrong
        assert not [name for _, attrs in walk.tags for name in attrs if name.startswith("on")]

    def test_stamps_lead_and_stand_at_every_table(self) -> None:
        page = render(report_data())
        assert (tables := page.count("<table")) == 3
        for title in ("Synthetic data", "Pseudo-labels"):
            assert page.index(title) < page.index("<section")
            assert page.count(f">{title}</a>") >= tables
        unstamped = render(replace(report_data(), stamps=()))
        found = [re.sub(r"<style>.*?</style>", "", text, flags=re.S).count("stamped") for text in (page, unstamped)]
        assert found[0] >= tables
        assert found[1] == 0

    def test_pictures_have_alternative_texts(self) -> None:
        images = [attrs for tag, attrs in Walk(render(report_data())).tags if tag == "img"]
        assert [image["alt"] for image in images][:2] == ["0001: Infrared", "0001: Visible"]

    def test_stays_small(self) -> None:
        # Noise is the worst case for any encoder; photographs take a fraction of this.
        scenes = tuple(
            SceneRow(f"{i}", tuple(Picture(f"{k}", picture(7 * i + k, 240)) for k in range(7))) for i in range(4)
        )
        assert len(render(replace(report_data(), scenes=scenes))) < 3_000_000

    def test_many_pictures_are_embedded_smaller(self) -> None:
        ramp = np.tile(np.linspace(0, 255, 640).astype(np.uint8), (480, 1))
        scenes = tuple(SceneRow(f"{i}", tuple(Picture(f"{k}", ramp) for k in range(7))) for i in range(14))
        uri = re.search(r'src="(data:[^"]+)"', render(replace(report_data(), scenes=scenes)))
        assert uri is not None
        assert decoded(uri.group(1)).size == (320, 240)


class TestWriting:
    def test_writes_and_makes_folders(self, tmp_path: Path) -> None:
        path = write_report(report_data(), tmp_path / "runs" / "one" / "report.html")
        assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
        assert [each.name for each in path.parent.iterdir()] == ["report.html"]

    def test_a_failure_leaves_the_old_report(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "report.html"
        path.write_text("old")

        def fail(*_: object, **__: object) -> None:
            raise OSError("disk full")

        monkeypatch.setattr(Path, "replace", fail)
        with pytest.raises(RunError, match="disk full"):
            write_report(report_data(), path)
        assert path.read_text() == "old"
        assert [each.name for each in tmp_path.iterdir()] == ["report.html"]

    def test_survives_names_that_are_no_text(self, tmp_path: Path) -> None:
        data = replace(report_data(), title="caf\udce9")
        assert "caf?" in write_report(data, tmp_path / "report.html").read_text(encoding="utf-8")


class TestTables:
    def test_best_follows_the_direction(self) -> None:
        up = column_cells([1.0, 3.0, NAN, 2.0])
        down = column_cells([1.0, 3.0, NAN, 2.0], higher_is_better=False)
        assert [cell.best for cell in up] == [False, True, False, False]
        assert [cell.best for cell in down] == [True, False, False, False]
        model, copy = metric_view(metric_table()).rows
        assert [cell.best for cell in model.cells] == [True, False, False, False]
        assert [cell.best for cell in copy.cells] == [False, True, False, True]

    def test_best_is_shared_by_what_prints_the_same_and_absent_without_a_contest(self) -> None:
        assert [cell.best for cell in column_cells([1.00001, 1.00002, 0.5])] == [True, True, False]
        for values in ([2.0, 2.0], [2.0, NAN], [NAN, NAN]):
            assert not any(cell.best for cell in column_cells(values))
        assert column_cells([]) == []

    def test_nan_is_a_dash_with_its_count(self) -> None:
        view = metric_view(metric_table())
        assert view.rows[1].cells[2].text == "–"
        assert view.rows[1].cells[2].left_out == 7
        assert "7 of 7 for Copy of visible" in view.footnotes[0]
        page = render(report_data())
        assert "undefined on 7 images" in page
        assert ">nan<" not in page.lower()

    def test_dialects_are_headings_and_verdict_names_winners(self) -> None:
        view = metric_view(metric_table())
        assert view.groups == (("strict", 3), ("cddfuse", 1))
        assert view.verdict == (
            "The model has the best value in 1 of 3 columns: EN (strict). "
            "Best in the other columns: Copy of visible in MI (strict) and Nabf (cddfuse)."
        )

    def test_worst_source_exposes_a_copy(self) -> None:
        view = per_source_view(metric_table())
        assert view is not None
        assert [heading.name for heading in view.headings] == ["infrared", "visible", "min"]
        assert [row.cells[2].text for row in view.rows] == ["0.900", "0.500"]
        assert [row.cells[2].best for row in view.rows] == [True, False]

    def test_worst_source_is_undefined_where_one_is(self) -> None:
        table = metric_table()
        rows = tuple(replace(row, per_source={"MI": (1.0, NAN)}) for row in table.rows)
        view = per_source_view(replace(table, rows=rows))
        assert view is not None
        assert view.rows[0].cells[2].text == "–"

    def test_two_dialects_of_a_metric_need_their_keys(self) -> None:
        columns = (MetricColumn("EN", "strict"), MetricColumn("EN", "tang"))
        row = MethodRow("Model", True, {"EN@strict": 1.0, "EN@tang": 2.0})
        table = MetricTable(columns, (row,), 1, "", ("a", "b"))
        assert [cell.text for cell in metric_view(table).rows[0].cells] == ["1.000", "2.000"]
        with pytest.raises(ValueError, match="several dialects"):
            replace(table, rows=(MethodRow("Model", True, {"EN": 1.0}),))
        with pytest.raises(ValueError, match="twice"):
            replace(table, columns=(columns[0], columns[0]))

    def test_two_rows_of_one_name_are_refused(self) -> None:
        for table in (metric_table(), task_table()):
            with pytest.raises(ValueError, match="several rows have the same name"):
                replace(table, rows=(table.rows[0], table.rows[0]))

    def test_task_is_in_percent_with_its_colours(self) -> None:
        view = task_view(task_table())
        assert [cell.text for cell in view.rows[0].cells] == ["50.0", "90.0", "10.0", "–"]
        assert view.headings[2].colour == "#400080"
        assert view.verdict == "Fused has the best mean IoU, 50.0 %."

    def test_numbers(self) -> None:
        assert number(-0.0001, 3) == "0.000"
        assert number(-1.5, 1) == "\N{MINUS SIGN}1.5"
        assert number(math.inf, 2) == "∞"
        assert column_cells([0.00042])[0].text == "0.000420"


class TestCurves:
    @pytest.mark.parametrize("values", ODD.values(), ids=ODD.keys())
    def test_odd_curves_draw(self, values: tuple[float, ...]) -> None:
        (chart,) = charts([Curve("Training", "loss", tuple(range(len(values))), values)])
        walk = Walk(chart.svg)
        assert not walk.open + walk.wrong
        assert "nan" not in chart.svg
        assert "inf" not in chart.svg.replace("No finite value", "")
        assert len(chart.svg) < 30_000
        assert [tag for tag, _ in walk.tags if tag in ("title", "desc")] == ["title", "desc"]

    def test_a_chart_for_each_phase(self) -> None:
        curves = [Curve(phase, "loss", (0, 1), (1.0, 0.5)) for phase in ("b", "a", "b")]
        assert [(chart.phase, len(chart.legend)) for chart in charts(curves)] == [("b", 2), ("a", 1)]

    def test_log_scale_only_where_the_range_asks_for_it(self) -> None:
        def logarithmic(*values: float) -> bool:
            return charts([Curve("p", "n", tuple(range(len(values))), values)])[0].logarithmic

        assert logarithmic(10.0, 0.1)
        assert not logarithmic(1.0, 0.5)
        assert not logarithmic(10.0, 0.0)

    def test_lone_points_are_dots_and_gaps_are_counted(self) -> None:
        (chart,) = charts([Curve("p", "n", (0, 1, 2), (1.0, NAN, 2.0))])
        assert chart.svg.count("<circle") == 2
        assert chart.legend[0].gaps == 1

    def test_lengths_agree(self) -> None:
        with pytest.raises(ValueError, match="2 steps, 1 values"):
            Curve("p", "n", (0, 1), (1.0,))

    def test_smoothing_keeps_a_line_and_calms_noise(self) -> None:
        line = np.linspace(5.0, 1.0, 100)
        assert np.allclose(smoothed(line, 15), line)
        noisy = line + np.random.default_rng(0).normal(0.0, 0.3, 100)
        assert np.std(smoothed(noisy, 15) - line) < 0.5 * np.std(noisy - line)
        noisy[[3, 50]] = NAN
        assert np.flatnonzero(np.isnan(smoothed(noisy, 15))).tolist() == [3, 50]

    def test_ticks(self) -> None:
        assert ticks(0.0, 1.0, 5) == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
        assert ticks(3.0, 3.0) == [3.0]
        assert log_ticks(0.01, 1000.0) == pytest.approx([0.01, 0.1, 1.0, 10.0, 100.0, 1000.0])
        assert 2 <= len(log_ticks(1e-12, 1e12)) <= 8
        assert [short(v) for v in (0.02, 15_000, 3e-5, -2.5, 0)] == ["0.02", "15k", "3e−5", "−2.5", "0"]


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1])))


class TestPictures:
    def test_float_images_become_bytes(self) -> None:
        row = np.array([[[0.0, 0.5, 1.0, 2.0, -1.0, NAN]]])
        assert pictures.to_uint8(row).tolist() == [[0, 128, 255, 255, 0, 0]]
        assert pictures.to_uint8(np.zeros((3, 4, 5))).shape == (4, 5, 3)
        with pytest.raises(ValueError, match="shape"):
            pictures.to_uint8(np.zeros((2, 4, 5)))

    def test_tensors_of_any_precision_are_taken(self) -> None:
        torch = pytest.importorskip("torch")
        image = torch.full((1, 2, 2), 0.5, dtype=torch.bfloat16, requires_grad=True)
        assert pictures.to_uint8(image).tolist() == [[128, 128], [128, 128]]

    def test_labels_ignored_and_unknown_are_told_apart(self) -> None:
        label = np.repeat([[0, 1, 2, 255, 9, -1]], 8, axis=0)
        coloured = pictures.colour_labels(label, PALETTE, ignore_index=255)
        for index, colour in enumerate(PALETTE):
            assert (coloured[:, index] == colour).all()
        ignored, unknown = coloured[:, 3], coloured[:, 4:]
        assert len(np.unique(ignored)) == 2
        assert (ignored == ignored[:, :1]).all()
        assert (unknown[..., 1] == 0).all()
        assert (unknown[..., 0] >= 60).all()

    def test_overlay_leaves_the_background_clear(self) -> None:
        image = np.full((2, 2), 100, dtype=np.uint8)
        mixed = pictures.overlay_labels(image, np.array([[0, 1], [2, 0]]), PALETTE, unlabelled=0, alpha=0.5)
        assert mixed[0, 0].tolist() == [100, 100, 100]
        assert mixed[0, 1].tolist() == [82, 50, 114]
        painted = pictures.overlay_labels(image, np.zeros((2, 2), dtype=int), PALETTE, unlabelled=None, alpha=0.5)
        assert (painted == 50).all()

    def test_heat_is_ordered_by_lightness_and_grey_in_the_middle(self) -> None:
        light = pictures.HEAT.astype(float) @ [0.2126, 0.7152, 0.0722]
        assert (np.diff(light) > -0.75).all()
        assert (np.diff(light[::8]) > 0).all()
        assert np.ptp(pictures.heat(np.full((1, 1), 0.5))) <= 12
        low, high = pictures.heat(np.array([[0.0, 1.0]]))[0].astype(int)
        assert low[2] > low[0]
        assert high[0] > high[2]
        assert (pictures.heat(np.array([[1 / 3]]), neutral=1 / 3) == pictures.heat(np.array([[0.5]]))).all()

    def test_drawings_keep_their_colours_and_photographs_are_small(self) -> None:
        label = np.kron(np.arange(9).reshape(3, 3) % 3, np.ones((100, 100), dtype=int))
        drawing = pictures.colour_labels(label, PALETTE)
        uri = pictures.data_uri(drawing, max_side=100)
        assert uri.startswith("data:image/png")
        colours = {colour for _, colour in decoded(uri).convert("RGB").getcolors() or []}
        assert colours == set(PALETTE)
        assert (np.asarray(decoded(pictures.data_uri(drawing)).convert("RGB")) == drawing).all()
        photo = pictures.data_uri(picture(0, 600))
        assert max(decoded(photo).size) == 480
        assert not photo.startswith("data:image/png")

    @pytest.mark.parametrize("encoding", ["png", "webp", "jpeg"])
    def test_encodings(self, encoding: str) -> None:
        uri = pictures.data_uri(picture()[..., 0], format=encoding)  # type: ignore[arg-type]
        assert uri.startswith(f"data:image/{encoding};base64,")
        assert decoded(uri).size == (64, 48)

    def test_never_enlarged(self) -> None:
        assert pictures.shrink(picture(), 1000).shape == (48, 64, 3)
        assert pictures.shrink(np.zeros((1, 2000), dtype=np.uint8), 100).shape == (1, 100)
