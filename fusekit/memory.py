"""Memory that a process keeps between allocations, instead of fetching it from the kernel each time.

A network allocates and frees the same few large blocks again and again. glibc hands each block above a threshold
back to the kernel as soon as it is freed, and the kernel fills each page of the next one with zeros: half the time of
fusing on a CPU. Imports no torch.
"""

from __future__ import annotations

import ctypes
import os

KEPT = 128 * 2**20
"""Blocks below so many bytes are kept. Larger ones still come from the kernel, for of those a heap with gaps would
hold many more than are in use (``docs/decisions/0021-kept-memory.md``)."""

_OLD_LIMIT = 32 * 2**20  # the largest threshold that older versions of glibc accept
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # as <malloc.h> numbers them

_SETTINGS = (
    "MALLOC_ARENA_MAX",
    "MALLOC_MMAP_MAX_",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TOP_PAD_",
    "MALLOC_TRIM_THRESHOLD_",
)
_ALLOCATORS = ("malloc", "hoard", "scudo")  # jemalloc, tcmalloc, mimalloc, snmalloc, rpmalloc, …

_in_force = False


def keep_memory() -> bool:
    """Makes the process keep freed memory for what is allocated next; the command line does so itself.

    It stands for the rest of the process, and calling it again changes nothing. Call it before the first large
    allocation. Where the user has chosen an allocator or its thresholds (``MALLOC_…``, ``GLIBC_TUNABLES``,
    ``LD_PRELOAD``), and where the C library is not glibc, nothing is done.

    Returns:
        Whether memory is kept.
    """
    global _in_force
    if _in_force or chosen_by_user() is not None or not is_glibc():
        return _in_force
    libc = ctypes.CDLL(None)
    _in_force = any(libc.mallopt(_M_MMAP_THRESHOLD, size) for size in (KEPT, _OLD_LIMIT))
    if _in_force:
        libc.mallopt(_M_TRIM_THRESHOLD, -1)  # gives nothing back by itself: `release` does
        libc.mallopt(_M_ARENA_MAX, 1)  # heaps of other threads hold 64 MiB and vanish once empty
    return _in_force


def release() -> None:
    """Hands the kernel what is kept and not in use; the next allocations fetch it again.

    For the end of a job, before one that needs memory otherwise. Nothing happens unless `keep_memory` is in force.
    """
    if _in_force:
        ctypes.CDLL(None).malloc_trim(0)


def described() -> str:
    """What is in force, in a few words."""
    if _in_force:
        return "kept between allocations (glibc mallopt)"
    if (setting := chosen_by_user()) is not None:
        return f"left as the environment sets it ({setting})"
    return "left as glibc has it" if is_glibc() else "not glibc: nothing to set"


def chosen_by_user() -> str | None:
    """The environment variable by which the user has chosen an allocator or its thresholds; None where none has."""
    for name in _SETTINGS:
        if os.environ.get(name):
            return name
    if "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", ""):
        return "GLIBC_TUNABLES"
    preloaded = os.environ.get("LD_PRELOAD", "").replace(":", " ").split()
    if any(name in os.path.basename(library) for library in preloaded for name in _ALLOCATORS):
        return "LD_PRELOAD"
    return None


def is_glibc() -> bool:
    """Whether the C library is glibc: not on macOS, Windows and musl."""
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError, OSError):  # no such function, no such name, no answer
        return False
