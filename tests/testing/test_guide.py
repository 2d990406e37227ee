"""The guide lists every check, with the sentence that the check itself has."""

from __future__ import annotations

from inspect import getdoc
from typing import Any

import fusekit.testing as kit
from fusekit.plugin.imports import load_target
from fusekit.testing.check import CONTRACTS
from tests.paths import REPOSITORY

GUIDE = (REPOSITORY / "docs" / "testing-plugins.md").read_text("utf-8")


def test_every_check_is_listed() -> None:
    contracts: list[Any] = [load_target(path) for path in CONTRACTS.values()]
    rows = {f"| `{name}` | {getdoc(getattr(c, name))} |" for c in contracts for name in c.checks()}
    listed = {line for line in GUIDE.splitlines() if line.startswith("| `test_")}
    assert listed == rows


def test_every_contract_is_exported_and_named() -> None:
    names = {path.partition(":")[2] for path in CONTRACTS.values()}
    assert names | {"ComponentContract"} == set(kit.__all__)
    assert all(getattr(kit, name).__name__ == name for name in kit.__all__)
    assert all(f"`{name}`" in GUIDE for name in names)
