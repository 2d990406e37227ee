"""Pages of the documentation, done literally: files are written and commands run as a reader would, in order.

A block with a title is a file, written where the reader stands. A block of the language ``console`` holds commands
behind ``$``, continued by a backslash, and what they print: the lines shown must be printed one after the other, and
``...`` stands for anything, a line of it for any lines. ``^C`` stops the command once the lines before it have been
printed. A command that shows an ``error:`` must fail, every other one must not. A block of the language ``text`` is
only looked at. What cannot be run says why, in ``<!-- not run: REASON -->`` before the block.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_FENCE = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+?) -->\n+)?"
    r"^(?P<ticks>`{3,})(?P<language>\w*)(?: title=\"(?P<title>[^\"\n]+)\")?(?P<rest>[^\n]*)\n"
    r"(?P<text>.*?)^(?P=ticks)$",
    re.M | re.S,
)
_LIMIT = 300.0
"""Seconds that one command may take."""


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, what it is, and why it is not run, if so."""

    line: int
    language: str
    title: str | None
    text: str
    not_run: str | None


@dataclass
class Command:
    """A command of a console block, and the lines shown under it."""

    line: int
    text: str
    shown: list[str] = field(default_factory=list)

    def fails(self) -> bool:
        """Whether the page says that it ends with an error."""
        return any(line.startswith("error:") for line in self.shown)


def blocks(page: str) -> list[Block]:
    """All fenced blocks of a page.

    Raises:
        ValueError: A block is neither a file, nor commands, nor text, nor excused; or a fence is not understood.
    """
    found = []
    for match in _FENCE.finditer(page):
        line = page.count("\n", 0, match.start("ticks")) + 1
        block = Block(line, match["language"], match["title"], match["text"], match["reason"])
        if match["rest"].strip():
            raise ValueError(f"line {line}: {match['rest'].strip()!r} is not understood")
        if block.title is None and block.language not in ("console", "text") and block.not_run is None:
            raise ValueError(f"line {line}: a {block.language} block without a title would not be tried")
        found.append(block)
    left = _FENCE.sub("", page)
    if "```" in left or "<!-- not run" in left:
        raise ValueError(f"a fence or mark is not understood near {left[left.find('```') - 60 :][:120]!r}")
    return found


def commands(block: Block) -> list[Command]:
    """The commands of a console block."""
    made: list[Command] = []
    continued = False
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if continued:
            made[-1].text += "\n" + line
        elif line.startswith("$ "):
            made.append(Command(number, line[2:]))
        elif made:
            made[-1].shown.append(line)
            continue
        else:
            raise ValueError(f"line {number}: output without a command")
        continued = line.endswith("\\")
    return made


def pattern(shown: list[str]) -> re.Pattern[str]:
    """What output must hold so that the lines shown are in it."""
    text = ""
    for line in filter(None, map(_plain, shown)):
        if line == "...":
            text += r"(?:.*\n)*?"
        else:
            text += ".*".join(map(re.escape, line.split("..."))) + r"\n"
    return re.compile(f"^{text}", re.M)


def _plain(line: str) -> str:
    """A line without its indent, whatever the widths of its columns."""
    return " ".join(line.split())


class Reader:
    """Somebody who does what pages say.

    Args:
        folder: Where they start.
        environment: Variables of their shell.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = {**environment, "COLUMNS": "100"}
        self.ran: list[str] = []

    def follow(self, page: Path) -> None:
        """Does everything that a page says.

        Raises:
            AssertionError: Something did not go as the page says.
        """
        for block in blocks(page.read_text("utf-8")):
            if block.not_run is not None or (block.title is None and block.language == "text"):
                continue
            if block.title is not None:
                target = self.folder / block.title
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(block.text, "utf-8")
                continue
            for command in commands(block):
                self.run(command, f"{page.name}:{command.line}")

    def run(self, command: Command, where: str) -> None:
        """Runs a command in the folder where the one before it ended."""
        stop = command.shown.index("^C") if "^C" in command.shown else None
        before = command.shown[:stop]
        after = [] if stop is None else command.shown[stop + 1 :]
        code, output = self._shell(command.text, pattern(before) if stop is not None else None)
        self.ran.append(command.text)
        told = f"{where}: $ {command.text}\nended with {code} and printed:\n{output}"
        if stop is not None:
            assert code == 130, told
        else:
            assert (code != 0) == command.fails(), told
        printed = "".join(f"{line}\n" for line in filter(None, map(_plain, output.splitlines())))
        assert pattern([*before, "...", *after]).search(printed), f"{told}\nwhich is not what the page shows"

    def _shell(self, text: str, until: re.Pattern[str] | None) -> tuple[int, str]:
        """Exit code, and what was printed; moves to where a ``cd`` led, and keeps what was exported."""
        state = self.folder / ".shell-state"
        keep = shlex.quote(str(state))
        # With a trap of its own the shell outlives an interrupted command, and can still tell where it stands.
        script = f"trap : INT\n{text}\ncode=$?\n{{ pwd; env -0; }} > {keep}\nexit $code\n"
        process = subprocess.Popen(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
            start_new_session=True,  # so that what is sent to the group stops the command and nobody else
        )
        output = "".join(_printed(process, until))
        code = process.wait()
        here, _, variables = state.read_text("utf-8").partition("\n")
        state.unlink()
        self.folder = Path(here)
        self.environment = dict(entry.split("=", 1) for entry in variables.split("\0") if entry)
        return code, output


def _printed(process: subprocess.Popen[str], until: re.Pattern[str] | None) -> Iterator[str]:
    """Lines as they come; interrupts the command when they match, ends it when it takes too long."""
    assert process.stdout is not None
    began, seen = time.monotonic(), ""
    for line in process.stdout:
        yield line
        seen += f"{_plain(line)}\n"
        if until is not None and until.search(seen):
            until = None
            os.killpg(process.pid, signal.SIGINT)
        if time.monotonic() - began > _LIMIT:
            os.killpg(process.pid, signal.SIGKILL)
            yield f"(ended after {_LIMIT:.0f} seconds)\n"
