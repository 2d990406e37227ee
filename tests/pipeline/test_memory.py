"""Memory kept between allocations: what it saves, who else decides, and where there is nothing to do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import fusekit
from fusekit.pipeline import memory
from tests.command_line import Call

glibc = pytest.mark.skipif(not memory.is_glibc(), reason="the C library is not glibc")

BLOCKS = f"""
import resource, sys, threading
from fusekit.pipeline.memory import keep_memory, release

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

def blocks(times):
    for _ in range(times):
        first = b"x" * {memory.KEPT // 2}
        second = b"y" * {memory.KEPT // 4}
        del first, second

def counted(found):
    blocks(3)
    before = faults()
    blocks(5)
    found.append(faults() - before)

kept = keep_memory() if "keep" in sys.argv else False
"""
COUNTS = (
    BLOCKS
    + """
found = []
counted(found)
thread = threading.Thread(target=counted, args=(found,))
thread.start()
thread.join()
print(kept, *found)
"""
)
RELEASE = (
    BLOCKS
    + """
blocks(3)
before = resident()
release()
print(before - resident())
"""
)


def child(script: str, *words: str, **environment: str) -> list[str]:
    """What a script prints in a process without the settings of this one."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", script, *words]
    done = subprocess.run(command, env={**clean, **environment}, capture_output=True, text=True, check=True)
    return done.stdout.split()


@glibc
class TestGlibc:
    def test_page_faults_fall_in_every_thread(self) -> None:
        kept, *with_it = child(COUNTS, "keep")
        assert kept == "True"
        without = child(COUNTS)[1:]
        assert len(with_it) == len(without) == 2
        for few, many in zip(map(int, with_it), map(int, without), strict=True):
            assert many > 5 * memory.KEPT // 2 // os.sysconf("SC_PAGE_SIZE")  # every page of every block
            assert 10 * few < many

    def test_release_hands_it_back(self) -> None:
        (freed,) = child(RELEASE, "keep")
        assert int(freed) > memory.KEPT // 2

    def test_thresholds_of_the_environment_win(self) -> None:
        kept, *found = child(COUNTS, "keep", MALLOC_MMAP_THRESHOLD_="65536")
        assert kept == "False"
        assert int(found[0]) > 5 * memory.KEPT // 2 // os.sysconf("SC_PAGE_SIZE")


class Libc:
    """Counts calls; refuses thresholds above a limit, as old versions of glibc do."""

    def __init__(self, limit: int = 2**31) -> None:
        self.limit = limit
        self.calls: list[tuple[int, ...]] = []

    def mallopt(self, parameter: int, value: int) -> int:
        self.calls.append((parameter, value))
        return int(value <= self.limit)

    def malloc_trim(self, pad: int) -> int:
        self.calls.append((pad,))
        return 1


@pytest.fixture
def libc(monkeypatch: pytest.MonkeyPatch) -> Iterator[Libc]:
    """A glibc that nobody has set anything for."""
    for name in [name for name in os.environ if name.startswith(("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD"))]:
        monkeypatch.delenv(name)
    made = Libc()
    monkeypatch.setattr(memory, "_in_force", False)
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: made)
    monkeypatch.setattr(memory.os, "confstr", lambda name: "glibc 2.36", raising=False)
    return made


class TestKeepMemory:
    def test_sets_it_once(self, libc: Libc) -> None:
        assert fusekit.keep_memory()
        calls = list(libc.calls)
        assert calls == [(-3, memory.KEPT), (-1, -1), (-8, 1)]
        assert memory.keep_memory()
        assert libc.calls == calls
        assert memory.described() == "kept between allocations (glibc mallopt)"

    def test_takes_the_largest_threshold_of_an_old_glibc(self, libc: Libc) -> None:
        libc.limit = 32 * 2**20
        assert memory.keep_memory()
        assert libc.calls == [(-3, memory.KEPT), (-3, 32 * 2**20), (-1, -1), (-8, 1)]

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("MALLOC_MMAP_THRESHOLD_", "1"),
            ("MALLOC_TRIM_THRESHOLD_", "1"),
            ("MALLOC_TOP_PAD_", "1"),
            ("MALLOC_MMAP_MAX_", "1"),
            ("MALLOC_ARENA_MAX", "4"),
            ("GLIBC_TUNABLES", "glibc.cpu.x86_ibt=on:glibc.malloc.trim_threshold=1"),
            ("LD_PRELOAD", "/usr/lib/libother.so:/usr/lib/libjemalloc.so.2"),
            ("LD_PRELOAD", "libtcmalloc_minimal.so.4"),
            ("LD_PRELOAD", "libmimalloc.so"),
        ],
    )
    def test_leaves_alone_what_the_user_chose(
        self, libc: Libc, monkeypatch: pytest.MonkeyPatch, name: str, value: str
    ) -> None:
        monkeypatch.setenv(name, value)
        assert not memory.keep_memory()
        memory.release()
        assert libc.calls == []
        assert memory.described() == f"left as the environment sets it ({name})"

    @pytest.mark.parametrize(("name", "value"), [("LD_PRELOAD", "libgomp.so"), ("GLIBC_TUNABLES", "glibc.cpu.x=1")])
    def test_other_settings_are_none_of_memory(
        self, libc: Libc, monkeypatch: pytest.MonkeyPatch, name: str, value: str
    ) -> None:
        monkeypatch.setenv(name, value)
        assert memory.keep_memory()

    @pytest.mark.parametrize("answer", [ValueError("unrecognized configuration name"), AttributeError(), None])
    def test_does_nothing_without_glibc(
        self, libc: Libc, monkeypatch: pytest.MonkeyPatch, answer: Exception | None
    ) -> None:
        def confstr(name: str) -> Any:
            if answer is not None:
                raise answer

        monkeypatch.setattr(memory.os, "confstr", confstr)
        assert not memory.keep_memory()
        memory.release()
        assert libc.calls == []
        assert memory.described() == "not glibc: nothing to set"

    def test_release_waits_for_keep_memory(self, libc: Libc) -> None:
        memory.release()
        assert libc.calls == []
        memory.keep_memory()
        memory.release()
        assert libc.calls[-1] == (0,)


def test_the_command_line_keeps_memory_and_the_doctor_says_so(libc: Libc, fusekit: Call) -> None:
    said = fusekit("doctor").out
    assert libc.calls[0] == (-3, memory.KEPT)
    assert [line.split(maxsplit=1)[1] for line in said.splitlines() if line.startswith("memory ")] == [
        "kept between allocations (glibc mallopt)"
    ]
