"""A least-recently-used cache with a limit in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ByteCache(Generic[K, V]):
    """LRU cache of values up to a number of bytes; affects only speed, never results.

    Args:
        capacity: Maximum number of bytes kept. A single larger value is returned but not kept.
        size: Function that returns the size of a value in bytes.
    """

    def __init__(self, capacity: int, size: Callable[[V], int]) -> None:
        self._capacity = capacity
        self._size = size
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._used = 0

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value of `key`; if it is not in the cache, it is computed with `make`."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key][0]
        value = make()
        size = self._size(value)
        if size <= self._capacity:
            self._values[key] = (value, size)
            self._used += size
            while self._used > self._capacity:
                _, (_, freed) = self._values.popitem(last=False)
                self._used -= freed
        return value
