"""All connections of a server: their deadlines, their number and what waits to be written."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Protocol

from serve.http.limits import Limits

log = logging.getLogger("uvicorn.error")

SWEEPS = 8  # of the deadlines, within the shortest of them
SWEEP_S = (0.05, 1.0)  # the shortest and the longest time between two sweeps
CLOSED_AT_ONCE = 16  # idle connections that make room for others


class Phase(Enum):
    """Phases of a connection, by what it does."""

    HEAD = "head"  # a head is expected or arrives
    IDLE = "idle"  # between two requests
    REQUEST = "request"  # a body arrives, or the request is answered
    REST = "rest"  # the rest of a refused body is discarded
    CLOSING = "closing"  # the last answer is written


class Peer(Protocol):
    """A connection as the registry sees it."""

    phase: Phase
    since: float  # the loop's time when the phase began
    unwritten: int  # bytes that the client had not taken at the last sweep

    @property
    def unread(self) -> int:
        """Return the bytes received that the application has not taken."""

    @property
    def sent_bytes(self) -> int:
        """Return the bytes of the answers so far."""

    def sweep(self, now: float) -> None:
        """End the connection if a deadline is over; measure `unwritten`."""

    def finish(self) -> None:
        """Answer what is in progress, then close."""

    def turn_away(self) -> None:
        """Answer 503 before a request came, and close."""

    def close(self) -> None:
        """Close once everything is written."""

    def is_answered(self) -> bool:
        """Return whether the client took its last answer and only has to close."""

    def give_way(self) -> None:
        """Close at once, between two requests, for another connection."""

    def abort(self) -> None:
        """Reset the connection at once."""


class Connections:
    """The connections of one server. Use it on its event loop only; metrics read it elsewhere.

    A graceful stop is `drain`, some seconds of grace, no more listening, `close_idle`, waiting for
    `in_progress` to be zero, and `abort` for the rest.
    """

    def __init__(self, limits: Limits) -> None:
        """Start without connections."""
        self.limits = limits
        self.buffer = memoryview(bytearray(limits.read_bytes))  # shared: each read is copied out
        self.draining = False
        self.opened = 0  # connections so far
        self.received_bytes = 0  # of all connections so far
        self.refusals: Counter[int] = Counter()  # answers of the connections themselves, by status
        self._sent_bytes = 0  # of the connections that are gone
        self._peers: dict[Peer, None] = {}  # in the order of arrival
        self._sweeper: asyncio.TimerHandle | None = None
        self._crowded = False

    @property
    def in_progress(self) -> int:
        """Return the number of connections with a request that is not answered in full."""
        return sum(peer.phase not in (Phase.HEAD, Phase.IDLE) for peer in self._peers)

    @property
    def sent_bytes(self) -> int:
        """Return the bytes of all answers so far, with their heads; other threads may read it."""
        return self._sent_bytes + sum(peer.sent_bytes for peer in tuple(self._peers))

    def phases(self) -> dict[str, int]:
        """Return the number of open connections by phase; other threads may read it."""
        counts = Counter(peer.phase for peer in tuple(self._peers))
        return {phase.value: counts[phase] for phase in Phase}

    @property
    def unwritten_bytes(self) -> int:
        """Return what all clients had not taken at the last sweep, in the kernel too."""
        return sum(peer.unwritten for peer in self._peers)

    @property
    def unread_bytes(self) -> int:
        """Return what all clients sent and the application has not taken."""
        return sum(peer.unread for peer in self._peers)

    def drain(self) -> None:
        """Say `Connection: close` with every answer from now on."""
        self.draining = True
        for peer in list(self._peers):
            peer.finish()

    def close_idle(self) -> None:
        """Close the connections that wait for a request."""
        for peer in self._in_phase(Phase.IDLE, Phase.HEAD):
            peer.close()

    def abort(self) -> None:
        """Reset every connection, also those that never read their answer."""
        for peer in list(self._peers):
            peer.abort()

    def add(self, peer: Peer) -> None:
        """Take a new connection; the oldest idle ones are closed if there are too many."""
        self._peers[peer] = None
        self.opened += 1
        if self._sweeper is None:
            self._schedule()
        if len(self._peers) > self.limits.connections:
            self._make_room(peer)

    def discard(self, peer: Peer) -> None:
        """Forget a connection that is lost."""
        if peer in self._peers:
            del self._peers[peer]
            self._sent_bytes += peer.sent_bytes
        if not self._peers and self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
            self._crowded = False

    def _make_room(self, newcomer: Peer) -> None:
        """Close the connections that are longest without a request; if none is, the newcomer."""
        answered = (peer for peer in self._in_phase(Phase.CLOSING) if peer.is_answered())
        idle = [*self._in_phase(Phase.IDLE, Phase.HEAD), *answered]
        idle = sorted(idle, key=lambda peer: (peer.unwritten > 0, peer.since))
        oldest = [peer for peer in idle if peer is not newcomer][:CLOSED_AT_ONCE]
        for peer in oldest:
            peer.give_way()
            self.discard(peer)
        if not oldest:
            newcomer.turn_away()
            self.discard(newcomer)
        if not self._crowded:
            self._crowded = True
            limit = self.limits.connections
            log.warning("%d connections are open: the oldest idle ones are closed", limit)

    def _in_phase(self, *phases: Phase) -> Iterable[Peer]:
        return [peer for peer in self._peers if peer.phase in phases]

    def _schedule(self) -> None:
        shortest = min(self.limits.timeout_s, self.limits.keep_alive_s, self.limits.linger_s)
        delay_s = min(max(shortest / SWEEPS, SWEEP_S[0]), SWEEP_S[1])
        self._sweeper = asyncio.get_running_loop().call_later(delay_s, self._sweep)

    def _sweep(self) -> None:
        now = asyncio.get_running_loop().time()
        for peer in list(self._peers):
            peer.sweep(now)
        self._crowded = len(self._peers) > self.limits.connections - CLOSED_AT_ONCE
        self._shed()
        if self._peers:
            self._schedule()
        else:
            self._sweeper = None

    def _shed(self) -> None:
        """Reset the oldest until what is unwritten, and what is received of heads, has room."""
        limits = self.limits
        self._reset_oldest(limits.unread_answer_bytes, lambda peer: peer.unwritten)
        self._reset_oldest(
            limits.unfinished_head_bytes,
            lambda peer: peer.unread if peer.phase is Phase.HEAD else 0,
        )

    def _reset_oldest(self, limit_bytes: int, size_of: Callable[[Peer], int]) -> None:
        sizes = {peer: size for peer in self._peers if (size := size_of(peer))}
        excess = sum(sizes.values()) - limit_bytes
        for peer in sorted(sizes, key=lambda peer: peer.since):
            if excess <= 0:
                return
            excess -= sizes[peer]
            peer.abort()
