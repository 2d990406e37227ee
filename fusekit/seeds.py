"""Named random streams: one root seed, and a seed for every purpose derived from it. Imports no torch."""

from __future__ import annotations

import hashlib


def stream_seed(root: int, *names: str | int) -> int:
    """Seed of a named stream, in [0, 2^63).

    Streams of different names are independent: a new one never shifts the draws of the others.

    Args:
        root: The recipe's seed.
        names: What the stream is for, such as ``("augment", epoch, sample)``.
    """
    text = "\x1f".join([str(root), *(f"{type(name).__name__}:{name}" for name in names)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
