"""Named random streams: one root seed, and no two uses of chance that share their numbers."""

from __future__ import annotations

import hashlib

import numpy as np


def stream_seed(root: int, *names: str | int) -> int:
    """Seed of a named stream, ``0 ≤ seed < 2**63``.

    The same names give the same seed on every machine and version; different names give independent ones.
    Names are typed and measured before hashing, so that ``("ab", "c")``, ``("a", "bc")``, ``1`` and ``"1"``
    all differ.

    Args:
        root: Root seed of the run.
        names: What the stream is for, from general to particular: ``"shuffle", "train", epoch``.
    """
    digest = hashlib.blake2b(digest_size=8, person=b"fusekit")
    for part in (root, *names):
        body = part.encode() if isinstance(part, str) else str(int(part)).encode()
        digest.update(b"%s%d:" % (b"s" if isinstance(part, str) else b"i", len(body)))
        digest.update(body)
    return int.from_bytes(digest.digest(), "big") >> 1


def stream(root: int, *names: str | int) -> np.random.Generator:
    """A generator of the named stream.

    NumPy's, because torch's generator on a CPU uses 32 bits of its seed, and a long training has enough
    (epoch, sample) pairs for some of those to meet.
    """
    return np.random.default_rng(stream_seed(root, *names))
