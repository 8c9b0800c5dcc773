"""The room of a store: which jobs it takes, and which give way to them."""

from collections.abc import Sequence
from dataclasses import dataclass

from serve.errors import OverloadedError
from serve.jobs.record import Answer

RETRY_S = 10  # after which a full store may have room


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """The most that a store holds."""

    jobs: int
    size_bytes: int  # of the bodies of jobs that wait, and of the answers of those that ended
    ttl_s: float  # after the end of a job


@dataclass(frozen=True, slots=True)
class Holding:
    """The room that one job takes."""

    name: str
    client: str
    size_bytes: int
    is_fetched: bool


def plan_room(
    holdings: Sequence[Holding], limits: StoreLimits, client: str, size_bytes: int
) -> list[str]:
    """Return the names of the jobs that give way to a new one: the oldest that were fetched.

    A client (address) may hold as much as is left free for the others: half of all if it is alone.
    So nobody fills the store, and the answers of those who have half of it find room too.

    Args:
        holdings: in the order of their arrival.
        limits: of the store.
        client: of the new job.
        size_bytes: that the new job takes.

    Raises:
        OverloadedError: there is no room for it.
    """
    left, gone = list(holdings), list[str]()
    while not _has_room(left, limits, client, size_bytes):
        oldest = next((holding for holding in left if holding.is_fetched), None)
        if oldest is None:
            own = sum(holding.client == client for holding in left)
            raise OverloadedError(
                f"{len(left)} jobs of {_used_bytes(left)} bytes are stored, {own} of this "
                f"client; allowed: {limits.jobs} of {limits.size_bytes} bytes, and "
                "for one client as much as is free; fetch or delete some, or try again later",
                reason="jobs",
                retry_after_s=RETRY_S,
            )
        left.remove(oldest)
        gone.append(oldest.name)
    return gone


def plan_growth(
    holdings: Sequence[Holding], limits: StoreLimits, growth_bytes: int, answer: Answer
) -> list[str]:
    """Return the names of the jobs that give way to the answer of a stored one.

    Args:
        holdings: in the order of their arrival, that of the answer among them.
        limits: of the store. A job that is alone may take more.
        growth_bytes: that the answer takes beyond the body of its request.
        answer: of the job.

    Raises:
        OverloadedError: there is no room for it.
    """
    left, gone = list(holdings), list[str]()
    while not _may_grow(left, limits, growth_bytes):
        oldest = next((holding for holding in left if holding.is_fetched), None)
        if oldest is None:
            raise OverloadedError(
                f"the answer has {answer.size_bytes} bytes, and jobs of {_used_bytes(left)} "
                f"bytes are stored; allowed: {limits.size_bytes} bytes; try again later",
                reason="jobs",
            )
        left.remove(oldest)
        gone.append(oldest.name)
    return gone


def _used_bytes(holdings: Sequence[Holding]) -> int:
    return sum(holding.size_bytes for holding in holdings)


def _has_room(
    holdings: Sequence[Holding], limits: StoreLimits, client: str, size_bytes: int
) -> bool:
    """Return whether a job leaves the others as much as its client then holds."""
    own = [holding.size_bytes for holding in holdings if holding.client == client]
    free = limits.jobs - len(holdings)
    free_bytes = limits.size_bytes - _used_bytes(holdings)
    fits = size_bytes <= free_bytes and (not own or sum(own) + size_bytes <= free_bytes)
    return len(own) + 1 <= free and (fits or not holdings)


def _may_grow(holdings: Sequence[Holding], limits: StoreLimits, size_bytes: int) -> bool:
    fits = _used_bytes(holdings) + size_bytes <= limits.size_bytes
    return fits or size_bytes <= 0 or len(holdings) == 1
