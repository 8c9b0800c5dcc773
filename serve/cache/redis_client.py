"""A client of Redis, bounded in connections and in time."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis.asyncio import Redis


def open_client(url: str, *, timeout_s: float, connections: int) -> "Redis":
    """Return a client of the Redis at a URL; it connects with its first call.

    Args:
        url: may hold a password; no message repeats it.
        timeout_s: for a connection, and for the answer to a call.
        connections: at once; one more call fails.
    """
    # 7 MB and 35 ms of CPU time, which a server without Redis does not pay
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    return Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        max_connections=connections,
        retry=Retry(NoBackoff(), 0),  # the caller knows better
        protocol=2,  # no greeting, which is one more round trip
        driver_info=None,
    )


def is_refusal(error: Exception) -> bool:
    """Return whether Redis answers, and refuses to write: it is full, or a replica."""
    from redis.exceptions import OutOfMemoryError, ReadOnlyError

    return isinstance(error, OutOfMemoryError | ReadOnlyError)


def is_conflict(error: Exception) -> bool:
    """Return whether another client changed a key that a transaction watches."""
    from redis.exceptions import WatchError

    return isinstance(error, WatchError)
