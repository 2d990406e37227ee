"""Keeps freed memory in the process, instead of returning it to the kernel after each allocation.

A network allocates and frees the same few large blocks repeatedly. glibc returns each block above a threshold to the
kernel as soon as it is freed, and the kernel fills each page of the next one with zeros, which takes half the time of
fusing on a CPU. Imports no torch.
"""

from __future__ import annotations

import ctypes
import os

KEPT = 128 * 2**20
"""Blocks smaller than this many bytes are kept. Larger ones still come from the kernel, because a fragmented heap
would hold many more of them than are in use (``docs/decisions/0021-kept-memory.md``)."""

_OLD_LIMIT = 32 * 2**20  # the largest threshold that older versions of glibc accept
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # the numbers in <malloc.h>

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
    """Makes the process keep freed memory for later allocations; the command line calls it automatically.

    It stays in force until the process ends, and calling it again has no effect. Call it before the first large
    allocation. It does nothing if the user has chosen an allocator or its thresholds (``MALLOC_…``,
    ``GLIBC_TUNABLES``, ``LD_PRELOAD``), or if the C library is not glibc.

    Returns:
        Whether memory is kept.
    """
    global _in_force
    if _in_force or chosen_by_user() is not None or not is_glibc():
        return _in_force
    libc = ctypes.CDLL(None)
    _in_force = any(libc.mallopt(_M_MMAP_THRESHOLD, size) for size in (KEPT, _OLD_LIMIT))
    if _in_force:
        libc.mallopt(_M_TRIM_THRESHOLD, -1)  # never return memory automatically: `release` does it
        libc.mallopt(_M_ARENA_MAX, 1)  # heaps of other threads hold 64 MiB and are freed once empty
    return _in_force


def release() -> None:
    """Returns kept but unused memory to the kernel; later allocations request it again.

    Meant for the end of a job, before another job that needs the memory. It has no effect unless `keep_memory` is in
    force.
    """
    if _in_force:
        ctypes.CDLL(None).malloc_trim(0)


def described() -> str:
    """The setting in force, in a few words."""
    if _in_force:
        return "kept between allocations (glibc mallopt)"
    if (setting := chosen_by_user()) is not None:
        return f"left as the environment sets it ({setting})"
    return "left as glibc has it" if is_glibc() else "not glibc: nothing to set"


def chosen_by_user() -> str | None:
    """The environment variable by which the user has chosen an allocator or its thresholds; None if there is none."""
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
    """Whether the C library is glibc; False on macOS, Windows and musl."""
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError, OSError):  # no such function, no such name, no answer
        return False
