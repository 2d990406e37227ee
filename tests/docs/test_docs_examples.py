"""The Python API page runs in order, as a reader would type it; the local file keeps its contract."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fusekit.plugin.loader import PluginPolicy, load_plugins
from fusekit.plugin.registry import Registry
from fusekit.testing.check import check
from tests.paths import REPOSITORY

pytestmark = pytest.mark.slow

DOCS = REPOSITORY / "docs"


def python_blocks(page: Path) -> dict[str, str]:
    """Title, or number, to the page's Python blocks, each moved to its own line: a traceback points into the page."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```python(?: title=\"([^\"]+)\")?\n(.*?)^```", text, re.S | re.M)
    return {
        match[1] or str(number): "\n" * text[: match.start(2)].count("\n") + match[2]
        for number, match in enumerate(found)
    }


def test_python_api_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = DOCS / "python-api.md"
    examples = python_blocks(page)
    assert len(examples) >= 4
    namespace: dict[str, object] = {"__name__": "__docs__"}
    for example in examples.values():
        exec(compile(example, str(page), "exec"), namespace)


def test_the_local_stage_of_the_plugin_page_keeps_the_contract(tmp_path: Path) -> None:
    file = tmp_path / "residual_stage.py"
    file.write_text(python_blocks(DOCS / "plugins.md")[file.name], encoding="utf-8")
    registry = Registry(load_plugins(PluginPolicy(third_party=False)))
    registry.add_local(file)
    outcomes = check(["local.residual"], registry=registry)
    assert sum(outcome.state == "passed" for outcome in outcomes) > 15
    assert [outcome.reason for outcome in outcomes if outcome.state == "failed"] == []
