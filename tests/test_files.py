"""Names of files made of scenes' identifiers."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from fusekit.files import file_name

PLAIN = ["frame_1", "frame 1", "00001D", "scene.v2", "红外", "a-b", "MixedCase", "x~1", " leading blank"]
CHANGED = [
    "s:1",
    "s?1",
    "s/1",
    "../../etc/passwd",
    "..",
    ".",
    "",
    ".hidden",
    "trailing.",
    "trailing ",
    "con",
    "COM1.left",
    "a" * 300,
    "a" * 301,
    "é" * 150,
    "line\u2028separator",
    "new\nline",
    "escape\x1b[31m",
    "\udc80stray byte",
    file_name("s:1"),
    "contact-sheet",
]


@pytest.mark.parametrize("name", PLAIN)
def test_a_common_name_is_kept(name: str) -> None:
    assert file_name(name) == name


@pytest.mark.parametrize("name", CHANGED)
def test_another_becomes_one_that_every_file_system_takes(tmp_path: Path, name: str) -> None:
    made = file_name(name, taken=("contact-sheet",))
    assert made != name
    assert made[-9] == "~"
    assert len(made.encode()) <= 220
    file = tmp_path / f".{made}.png.part"
    file.touch()
    assert file.parent == tmp_path
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert not made.startswith(".")
    assert not set(made) & set('<>:"/\\|?*\n\x1b\u2028')


def test_different_names_stay_different() -> None:
    names = [file_name(name, taken=("contact-sheet",)) for name in [*PLAIN, *CHANGED]]
    for one, other in itertools.combinations(names, 2):
        assert one != other
