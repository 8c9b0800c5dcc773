"""Count what the cache did since the start."""

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """The counters of the cache. Threads add to them under the lock of the cache in memory."""

    hits: int = 0  # answers that were stored
    misses: int = 0  # answers that were computed
    bypassed: int = 0  # requests with Cache-Control: no-store or no-cache
    coalesced: int = 0  # requests that waited for the answer to an equal one
    run_hits: int = 0  # runs of a graph whose outputs were stored
    run_misses: int = 0
    evicted: int = 0  # entries that made room for others, or for work
    expired: int = 0
    shared_hits: int = 0  # answers that were in Redis alone; also counted in `hits`
    shared_failures: int = 0  # calls that Redis did not answer as it should within their time
    shared_skipped: int = 0  # calls that were not made: Redis was away, busy or full


@dataclass(frozen=True, slots=True)
class CacheFigures:
    """The cache now."""

    counters: Counters
    entries: int
    used_bytes: int
    limit_bytes: int
    shared: str  # state of the breaker: "closed" (in use), "open" (away), "none" (no Redis)
