"""Tables in files: ranks, marks of missing values, and names that would be markup are only text."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from fusekit.report.data import ImageRow, MethodRow, MetricColumn, MetricTable
from fusekit.report.saving import csv_text, problems, save_evaluation
from fusekit.report.text_tables import latex, markdown, plain_text
from tests.report.test_report import EVIL, Walk

HOSTILE = "[a]\\input{x} & 50% $m_1$ #{~^}\n| *b* <script>alert(1)</script>"
NAN = math.nan


def table(*names: str) -> MetricTable:
    columns = (MetricColumn("Qabf", "strict"), MetricColumn("Q_cv", "a&b", higher_is_better=False))
    values = [(0.5, 3.0), (0.75, 2.0), (0.625, 1.0)]
    rows = tuple(MethodRow(n, False, {"Qabf": v[0], "Q_cv": v[1]}) for n, v in zip(names, values, strict=False))
    return MetricTable(columns, rows, 3, "three images", ("ir", "vi"))


def row_of(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if name in line)


class TestLatex:
    def test_best_is_bold_second_underlined_in_the_direction_of_the_column(self) -> None:
        text = latex(table("one", "two", "three"), (), ())
        assert row_of(text, "one") == "one & 0.500 & 3.000 \\\\"
        assert row_of(text, "two") == "two & \\textbf{0.750} & \\underline{2.000} \\\\"
        assert row_of(text, "three") == "three & \\underline{0.625} & \\textbf{1.000} \\\\"
        assert "Method & Qabf$\\uparrow$ & Q\\_cv$\\downarrow$ \\\\" in text
        assert " & \\multicolumn{1}{c}{strict} & \\multicolumn{1}{c}{a\\&b} \\\\" in text
        assert [text.count(rule) for rule in ("\\toprule", "\\midrule", "\\bottomrule")] == [1, 1, 1]

    def test_hostile_names_have_no_effect(self) -> None:
        text = latex(table(HOSTILE, "two"), [("Data", HOSTILE)], [f"{HOSTILE}\nsecond line"])
        line = row_of(text.split("\\midrule")[1], "textbackslash")
        name = line.split(" & 0.500")[0]
        assert name == (
            "{[}a{]}\\textbackslash{}input\\{x\\} \\& 50\\% \\$m\\_1\\$ \\#\\{\\textasciitilde{}\\textasciicircum{}\\} "
            "\\textbar{} {*}b{*} \\textless{}script\\textgreater{}alert(1)\\textless{}/script\\textgreater{}"
        )
        comments = [line for line in text.splitlines() if "second line" in line]
        assert len(comments) == 1
        assert comments[0].startswith("% ")
        depth = 0
        for sign in re.sub(r"%.*", "", re.sub(r"\\[^a-zA-Z]", "", text)):
            depth += (sign == "{") - (sign == "}")
            assert depth >= 0
        assert depth == 0


def test_rows_of_fewer_images_are_marked_and_not_ranked() -> None:
    full = table("one", "two", "three")
    rows = (full.rows[0], MethodRow("two", False, full.rows[1].values, images=2), full.rows[2])
    partial = MetricTable(full.columns, rows, 3, "", ("ir", "vi"))
    assert row_of(latex(partial, (), ()), "two$") == "two$^\\ddagger$ & 0.750 & 2.000 \\\\"
    assert row_of(latex(partial, (), ()), "three") == "three & \\textbf{0.625} & \\textbf{1.000} \\\\"
    assert row_of(markdown(partial, (), ()), "two‡") == "| two‡ | 0.750 | 2.000 |"
    assert "two on 2 of 3" in markdown(partial, (), ())
    assert row_of(plain_text(partial, 80), "two‡").split() == ["two‡", "0.750", "2.000"]


def test_text_fits_the_width_and_loses_nothing() -> None:
    columns = tuple(MetricColumn(f"M{index}", "strict") for index in range(12))
    rows = tuple(MethodRow(n, False, {c.name: i + 0.5 for i, c in enumerate(columns)}) for n in ("a", "名前の長い方法"))
    text = plain_text(MetricTable(columns, rows, 1, "", ()), 60)
    assert all(f"M{index} ↑" in text for index in range(12))
    assert text.count("名前の長い方法") == text.count("\n\n") + 1
    assert max(len(line) for line in text.splitlines()) <= 60


def test_markdown_escapes() -> None:
    text = markdown(table(HOSTILE, "two"), (), [HOSTILE])
    line = row_of(text, "input")
    assert len(re.findall(r"(?<!\\)\|", line)) == 4  # the cells' own
    assert "<script" not in text
    assert "\\*b\\*" in line


def evaluation(name: str, image: str) -> dict[str, Any]:
    return {
        "scenes": [image],
        "metrics": {"strict.qabf": {"dialect": "strict"}},
        "methods": [
            {
                "name": name,
                "is_baseline": False,
                "per_image": {"strict.qabf": [0.5]},
                "per_image_per_source": {"strict.qabf": [[0.25, None]]},
                "failed": {f"{image} 2": f"reason {image}"},
            }
        ],
        "roles": ["ir", "vi"],
        "dialects": ["strict"],
        "range": "as they are",
        "colour": "grey",
        "unscored": {f"{image} 3": "no source"},
        "notes": [],
        "fusekit": "1",
    }


def test_csv_keeps_hostile_names() -> None:
    rows = list(csv.reader(io.StringIO(csv_text(evaluation(HOSTILE, EVIL)))))
    assert rows[1:] == [
        [HOSTILE, EVIL, "strict.qabf", "strict", "0.5", "0.25", "", ""],
        [HOSTILE, f"{EVIL} 2", "", "", "", "", "", f"reason {EVIL}"],
        ["", f"{EVIL} 3", "", "", "", "", "", "no source"],
    ]


def test_html_is_one_safe_page_with_every_image(tmp_path: Path) -> None:
    plain = evaluation(EVIL, HOSTILE)
    one = MetricTable((MetricColumn("Qabf", "strict"),), (MethodRow(EVIL, False, {"Qabf": 0.5}),), 1, EVIL, ("a", EVIL))
    images = (ImageRow(HOSTILE, EVIL, (0.5,)), ImageRow("bad", EVIL, error=EVIL), ImageRow("nan", EVIL, (NAN,)))
    save_evaluation(plain, one, images, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    walk = Walk(page)
    assert (walk.open, walk.wrong) == ([], [])
    assert [tag for tag, _ in walk.tags].count("script") == 1
    assert "alert(1)</script>" not in page
    assert not [
        v for _, attributes in walk.tags for k, v in attributes.items() if k in ("src", "href") and v and "//" in v
    ]
    assert "Images that could not be scored" in page
    assert "Not every image was scored" in page
    assert "this run's model" not in page
    assert page.count('<table class="sortable"') == 2


def test_problems_are_grouped_by_reason() -> None:
    plain = evaluation("m", "i")
    plain["unscored"] = {f"{number:02d}": "no source" for number in range(12)}
    assert problems(plain) == [
        "no source (stems 00, 01, 02, 03, 04, 05, 06, 07, 08, 09, … 12 in all)",
        "m: reason i (stem i 2)",
    ]


@pytest.mark.parametrize("suffix", [".json", ".JSON"])
def test_json_is_the_plain_data(tmp_path: Path, suffix: str) -> None:
    plain = evaluation("m", "i")
    save_evaluation(plain, table("one"), (), tmp_path / f"n{suffix}")
    assert json.loads((tmp_path / f"n{suffix}").read_text()) == plain
