"""Pages are really followed: what they show is compared, in order, and nothing is passed over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.docs.literal import Reader, blocks, commands

pytestmark = pytest.mark.slow


def follow(folder: Path, text: str) -> Reader:
    folder.mkdir()
    page = folder.parent / "page.md"
    page.write_text(text, "utf-8")
    reader = Reader(folder, dict(os.environ))
    reader.follow(page)
    return reader


def console(*lines: str) -> str:
    return "\n".join(["```console", *lines, "```", ""])


def test_files_folders_and_variables_last(tmp_path: Path) -> None:
    page = console("$ mkdir inner", "$ cd inner", "$ export WORD='two words'")
    page += '\nText.\n\n````text title="deep/er/note.txt"\na ``` b\n````\n\n'
    page += console("$ cat deep/er/note.txt", "a ``` b", '$ echo "$WORD" \\', '    "and more"', "two words and more")
    reader = follow(tmp_path / "start", page)
    assert reader.folder == tmp_path / "start" / "inner"
    assert (reader.folder / "deep/er/note.txt").read_text() == "a ``` b\n"
    assert reader.ran[0] == "mkdir inner"


@pytest.mark.parametrize(
    "shown",
    [
        ["one   1", "two", "three"],
        ["two"],
        ["...", "three"],
        ["one ...", "...", "three"],
        ["o... 1", "two"],
        ["one 1", "", "two"],
    ],
)
def test_what_is_printed_may_be_shown(tmp_path: Path, shown: list[str]) -> None:
    follow(tmp_path / "start", console(r"$ printf 'one 1\n\n  two\nthree\n'", *shown))


@pytest.mark.parametrize(
    "shown", [["four"], ["one"], ["two", "one 1"], ["one 1", "three"], ["tw"], ["three", "...", "two"], ["one.1"]]
)
def test_what_is_not_printed_may_not(tmp_path: Path, shown: list[str]) -> None:
    with pytest.raises(AssertionError, match="which is not what the page shows"):
        follow(tmp_path / "start", console(r"$ printf 'one 1\n\n  two\nthree\n'", *shown))


def test_a_command_that_fails_must_show_its_error(tmp_path: Path) -> None:
    failing = "$ echo 'error: no such thing' >&2; false"
    follow(tmp_path / "shown", console(failing, "error: no such thing"))
    with pytest.raises(AssertionError, match=r"page.md:2: .*\nended with 1"):
        follow(tmp_path / "hidden", console(failing))
    with pytest.raises(AssertionError, match="ended with 0"):
        follow(tmp_path / "wrong", console("$ echo 'error: no such thing'", "error: no such thing"))


def test_a_command_can_be_stopped(tmp_path: Path) -> None:
    lines = ["print('begins', flush=True)", "time.sleep(60)"]
    polite = ["import sys, time", "try:", *(f"    {line}" for line in lines), "except KeyboardInterrupt:"]
    (tmp_path / "slow.py").write_text("\n".join([*polite, "    print('interrupted')", "    sys.exit(130)", ""]))
    command = "$ python3 ../slow.py"
    follow(tmp_path / "stopped", console(command, "begins", "^C", "interrupted"))
    with pytest.raises(AssertionError, match="which is not what the page shows"):
        follow(tmp_path / "silent", console(command, "begins", "^C", "ended well"))
    dies = f'$ python3 -c "{"; ".join(["import time", *lines])}"'
    reader = follow(tmp_path / "killed", console("$ mkdir in", "$ cd in", dies, "begins", "^C", "KeyboardInterrupt"))
    assert reader.folder.name == "in"


def test_what_is_not_run_says_why(tmp_path: Path) -> None:
    reader = follow(tmp_path / "start", "<!-- not run: needs a planet -->\n\n" + console("$ false") + console("$ true"))
    assert reader.ran == ["true"]


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("```python\n1 / 0\n```\n", "line 1: a python block without a title"),
        ("```yaml linenums=1\na: 1\n```\n", "line 1: 'linenums=1' is not understood"),
        ("- item\n\n    ```console\n    $ false\n    ```\n", "a fence or mark is not understood"),
        ("```console\n$ false\n", "a fence or mark is not understood"),
        ("<!-- not run: far away -->\n\ntext\n\n" + console("$ false"), "a fence or mark is not understood"),
    ],
)
def test_nothing_is_passed_over(page: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        blocks(page)


def test_output_belongs_to_a_command() -> None:
    with pytest.raises(ValueError, match="line 2: output without a command"):
        commands(blocks("```console\nok\n```\n")[0])
