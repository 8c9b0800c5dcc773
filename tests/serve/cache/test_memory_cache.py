"""The cache in memory: its bytes, its order, and the end of its entries."""

from dataclasses import dataclass

import pytest

from serve.cache.memory_cache import OVERHEAD_BYTES, MemoryCache

KIB = 1024


@dataclass
class Clock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> MemoryCache[str]:
    return MemoryCache(16 * KIB, 60, clock=clock)


def value(cache: MemoryCache[str], key: str) -> str | None:
    stored = cache.get(key)
    return stored.value if stored else None


def test_the_bytes_of_all_entries_have_a_bound(cache: MemoryCache[str]) -> None:
    for index in range(1000):
        cache.put(str(index), "x", KIB)
        assert cache.used_bytes <= cache.limit_bytes
    assert len(cache) == 16 * KIB // (KIB + OVERHEAD_BYTES)
    assert cache.counters.evicted == 1000 - len(cache)


def test_empty_values_have_a_bound_too(cache: MemoryCache[str]) -> None:
    for index in range(1000):
        cache.put(str(index), "", 0)
    assert len(cache) == 16 * KIB // OVERHEAD_BYTES


def test_what_was_not_used_for_longest_goes_first(cache: MemoryCache[str]) -> None:
    for key in "abcdefghij":
        cache.put(key, key, KIB)
    assert value(cache, "a") == "a"
    cache.put("k", "k", KIB)
    assert (value(cache, "a"), value(cache, "b")) == ("a", None)


def test_a_large_value_does_not_push_the_others_out(cache: MemoryCache[str]) -> None:
    cache.put("small", "s", KIB)
    cache.put("large", "l", 3 * KIB)
    assert (value(cache, "small"), value(cache, "large")) == ("s", None)


def test_an_entry_ends_when_its_time_is_over(cache: MemoryCache[str], clock: Clock) -> None:
    cache.put("a", "a", KIB)
    clock.now_s += 59
    assert value(cache, "a") == "a"
    clock.now_s += 1
    assert value(cache, "a") is None
    assert (cache.used_bytes, cache.counters.expired) == (0, 1)


def test_what_nobody_asks_for_ends_too(cache: MemoryCache[str], clock: Clock) -> None:
    cache.put("old", "o", KIB)
    clock.now_s += 30
    cache.put("new", "n", KIB)
    clock.now_s += 30
    cache.expire()
    assert (len(cache), value(cache, "new")) == (1, "n")


def test_an_answer_that_was_computed_elsewhere_keeps_its_age(
    cache: MemoryCache[str], clock: Clock
) -> None:
    cache.put("a", "a", KIB, since_s=clock.now_s - 50)
    stored = cache.get("a")
    assert stored is not None
    assert stored.since_s == 950
    clock.now_s += 10
    assert cache.get("a") is None


def test_a_value_that_is_stored_again_counts_once(cache: MemoryCache[str]) -> None:
    cache.put("a", "first", KIB)
    cache.put("a", "second", 512)
    assert (value(cache, "a"), cache.used_bytes) == ("second", 512 + OVERHEAD_BYTES)


def test_all_of_it_can_be_freed_at_once(cache: MemoryCache[str]) -> None:
    cache.put("a", "a", KIB)
    assert cache.clear() == KIB + OVERHEAD_BYTES
    assert (len(cache), cache.used_bytes, cache.get("a")) == (0, 0, None)
    cache.put("a", "a", KIB)
    assert value(cache, "a") == "a"
