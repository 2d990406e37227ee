"""The reference leaves nothing out: every command, every contract of the conformance kit."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

import fusekit.testing as kit
from fusekit.cli.app import app
from tests.paths import REPOSITORY

pytestmark = pytest.mark.slow

DOCS = REPOSITORY / "docs"


def command_names(command: Any, name: str) -> Iterator[str]:
    """A command and all below it, however deep; groups are described by their commands."""
    inner = getattr(command, "commands", {})
    if not inner or name == "fusekit":
        yield name
    for word, below in inner.items():
        yield from command_names(below, f"{name} {word}")


def test_every_command_is_described() -> None:
    spec = importlib.util.spec_from_file_location("generated_pages", DOCS / "generated.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = "\n".join(module.cli())
    described = re.findall(r"^## (.+)$", page, re.M)
    assert sorted(described) == sorted(command_names(get_command(app), "fusekit"))


def test_every_contract_is_in_the_reference() -> None:
    listed = re.findall(
        r"^::: fusekit\.testing\.(\w+\.\w+Contract)$", (DOCS / "reference/testing.md").read_text(), re.M
    )
    assert set(kit.__all__) - {name.partition(".")[2] for name in listed} == set()
    for name in listed:
        module, _, contract = name.partition(".")
        assert hasattr(importlib.import_module(f"fusekit.testing.{module}"), contract)
