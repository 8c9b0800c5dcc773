"""A cache in memory: bounded in bytes, least recently used first, each entry with an end."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from serve.cache.counters import Counters

T = TypeVar("T")

OVERHEAD_BYTES = 512  # of an entry besides its value, about


@dataclass(frozen=True, slots=True)
class Stored(Generic[T]):
    """A value, and since when it is known."""

    value: T
    since_s: float  # since 1970
    size_bytes: int


class MemoryCache(Generic[T]):
    """Values by key. Safe to use from several threads at once."""

    def __init__(
        self,
        limit_bytes: int,
        ttl_s: float,
        *,
        counters: Counters | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Begin empty.

        Args:
            limit_bytes: of all entries together; a value of more than an eighth is not stored.
            ttl_s: seconds for which a value is kept.
            counters: to count evictions in.
            clock: seconds since 1970.
        """
        self.limit_bytes = limit_bytes
        self.ttl_s = ttl_s
        self.counters = counters or Counters()
        self.lock = threading.Lock()
        self._clock = clock
        self._entries: OrderedDict[Hashable, Stored[T]] = OrderedDict()  # by last use
        self._arrivals: OrderedDict[Hashable, float] = OrderedDict()  # in which they expire, about
        self._used_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def used_bytes(self) -> int:
        """Return the bytes of all entries."""
        return self._used_bytes

    def has_room_for(self, size_bytes: int) -> bool:
        """Return whether a value is small enough to be stored."""
        return size_bytes + OVERHEAD_BYTES <= self.limit_bytes // 8

    def get(self, key: Hashable) -> Stored[T] | None:
        """Return a value; None if it is not stored, or expired."""
        with self.lock:
            stored = self._entries.get(key)
            if stored is None:
                return None
            if self._clock() - stored.since_s >= self.ttl_s:
                self._drop(key)
                self.counters.expired += 1
                return None
            self._entries.move_to_end(key)
            return stored

    def put(
        self, key: Hashable, value: T, size_bytes: int, *, since_s: float | None = None
    ) -> None:
        """Store a value in place of those that were not used for longest.

        Args:
            key: of the value.
            value: must not be changed afterwards.
            size_bytes: of the value.
            since_s: when it was computed; None: now.
        """
        if not self.has_room_for(size_bytes):
            return
        size_bytes += OVERHEAD_BYTES
        now_s = self._clock()
        with self.lock:
            self._drop(key)
            while self._used_bytes + size_bytes > self.limit_bytes:
                self._drop(next(iter(self._entries)))
                self.counters.evicted += 1
            stored = Stored(value, now_s if since_s is None else since_s, size_bytes)
            self._entries[key] = stored
            self._arrivals[key] = now_s
            self._used_bytes += size_bytes

    def expire(self) -> None:
        """Drop what is too old, even if nobody asks for it."""
        with self.lock:
            oldest_s = self._clock() - self.ttl_s
            while self._arrivals:
                key, arrival_s = next(iter(self._arrivals.items()))
                if arrival_s > oldest_s:
                    return
                self._drop(key)
                self.counters.expired += 1

    def clear(self) -> int:
        """Drop everything; return the bytes that were stored."""
        with self.lock:
            used_bytes = self._used_bytes
            self.counters.evicted += len(self._entries)
            self._entries.clear()
            self._arrivals.clear()
            self._used_bytes = 0
        return used_bytes

    def _drop(self, key: Hashable) -> None:
        stored = self._entries.pop(key, None)
        if stored is not None:
            del self._arrivals[key]
            self._used_bytes -= stored.size_bytes
