"""Every Python example of the API page runs, in order, as a reader would type it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.paths import REPOSITORY

PAGE = REPOSITORY / "docs" / "python-api.md"


def blocks() -> list[str]:
    """The page's Python blocks, each moved to its own line so that a traceback points into the page."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.finditer(r"^```python\n(.*?)^```", text, re.S | re.M)
    return ["\n" * text[: match.start(1)].count("\n") + match.group(1) for match in found]


def test_python_api_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    examples = blocks()
    assert len(examples) >= 4
    namespace: dict[str, object] = {"__name__": "__docs__"}
    for example in examples:
        exec(compile(example, str(PAGE), "exec"), namespace)
