"""Named random streams: independent random generators, all derived from one root seed."""

from __future__ import annotations

import hashlib

import numpy as np


def stream_seed(root: int, *names: str | int) -> int:
    """Seed of a named stream, ``0 ≤ seed < 2**63``.

    The same names give the same seed on every machine and in every version; different names give independent seeds.
    The hash includes the type and length of each name, so that ``("ab", "c")``, ``("a", "bc")``, ``1`` and ``"1"``
    all differ.

    Args:
        root: Root seed of the run.
        names: Purpose of the stream, from general to specific: ``"shuffle", "train", epoch``.
    """
    digest = hashlib.blake2b(digest_size=8, person=b"fusekit")
    for part in (root, *names):
        body = part.encode() if isinstance(part, str) else str(int(part)).encode()
        digest.update(b"%s%d:" % (b"s" if isinstance(part, str) else b"i", len(body)))
        digest.update(body)
    return int.from_bytes(digest.digest(), "big") >> 1


def stream(root: int, *names: str | int) -> np.random.Generator:
    """Random generator of the named stream.

    It is NumPy's, because torch's generator on a CPU uses only 32 bits of its seed, and a long training has enough
    (epoch, sample) pairs for such seeds to collide.
    """
    return np.random.default_rng(stream_seed(root, *names))
