"""Places to compute in, given to models in fair order."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from runtime.engine.cancellation import Cancellation
from serve.scheduling.fair_queue import FairQueue
from serve.scheduling.ticket import Ticket

QUIET_S = 1.0  # without a request that a client waits for, until background work has every slot


class Slots:
    """A number of slots, each for one ticket at a time. Safe to use from several threads at once.

    The thread that releases a slot grants it to the next ticket itself: no other thread, and no
    event loop, has to run in between.
    """

    def __init__(
        self,
        count: int,
        *,
        background: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with every slot free.

        Args:
            count: of slots.
            background: slots that background work may have at once; None: all, but one less while
                others send requests.
            clock: seconds that only grow.
        """
        self.count = count
        self._most_background = count if background is None else background
        self._foreground_s = -math.inf  # when other work was last there
        self._clock = clock
        self._lock = threading.Lock()
        self._queue = FairQueue()
        self._running: dict[Ticket, None] = {}

    def request(self, ticket: Ticket, *, first: bool = False) -> None:
        """Grant a slot to a ticket: now, or when it is its turn, before others if it is `first`."""
        with self._lock:
            self._note(ticket)
            self._queue.push(ticket, first=first)
            granted = self._grant()
        _announce(granted)

    def drop(self, ticket: Ticket) -> bool:
        """Take a ticket out of the queue; return False if it was not waiting."""
        with self._lock:
            return self._queue.remove(ticket)

    def release(self, ticket: Ticket, *, turns: int = 0) -> None:
        """End the turn of a ticket, and grant the free slot to the next one.

        Args:
            ticket: has a slot.
            turns: that the ticket still needs; it then waits as the first of its model.
        """
        with self._lock:
            del self._running[ticket]
            self._note(ticket)
            self._queue.finish(ticket, self._clock() - ticket.started_s)
            ticket.turns = turns
            if turns:
                self._queue.push(ticket, first=True)
            granted = self._grant()
        _announce(granted)

    def exchange(self, ticket: Ticket, successor: Ticket) -> None:
        """Give the slot of a ticket to another one of the same model, with what it was charged."""
        with self._lock:
            del self._running[ticket]
            successor.started_s, successor.charged_s = ticket.started_s, ticket.charged_s
            self._running[successor] = None

    def running_s(self, ticket: Ticket) -> float:
        """Return the seconds for which a ticket has had its slot."""
        return self._clock() - ticket.started_s

    @contextmanager
    def held(
        self, model: str, turn_s: float, cancellation: Cancellation, *, background: bool = False
    ) -> Iterator[Ticket]:
        """Wait for a slot in this thread, and hold it during the block.

        Raises:
            CancelledError: the work was cancelled while it waited.
        """
        wake = threading.Event()
        ticket = Ticket(model, turn_s, wake.set, background=background)
        self.request(ticket)
        try:
            with cancellation.stopping(wake.set):
                wake.wait()
            cancellation.check()
            yield ticket
        finally:
            if not self.drop(ticket):
                self.release(ticket)

    def expected_wait_s(self, model: str, turn_s: float, *, arriving: int = 0) -> float:
        """Return the seconds until new work of a model would start.

        Args:
            model: the model.
            turn_s: that the new work, and each arriving piece, is expected to take.
            arriving: pieces of work for the model that will be there first.
        """
        with self._lock:
            free = self.count - len(self._running)
            ahead_s = self._queue.ahead_s(model, arriving_s=arriving * turn_s, work_s=turn_s)
            if free:
                return max(0.0, ahead_s - (free - 1) * turn_s) / self.count if arriving else 0.0
            return self._next_free_s() + ahead_s / self.count

    def waiting(self, model: str) -> int:
        """Return the number of tickets that wait for a model."""
        with self._lock:
            return self._queue.waiting(model)

    def has_new(self, model: str, *, background: bool) -> bool:
        """Return whether a request waits for a model that does not wait for its batch."""
        with self._lock:
            return self._queue.has_new(model, background=background)

    def waiting_s(self, model: str) -> float:
        """Return the seconds of work that wait for a model."""
        with self._lock:
            return self._queue.waiting_s(model)

    @property
    def running(self) -> int:
        """Return the number of slots that are taken."""
        return len(self._running)

    def _grant(self) -> list[Ticket]:
        """Give the free slots to the tickets whose turn it is."""
        granted = []
        while len(self._running) < self.count and (ticket := self._next()) is not None:
            ticket.started_s = self._clock()
            self._running[ticket] = None
            granted.append(ticket)
        return granted

    def _note(self, ticket: Ticket) -> None:
        if not ticket.background:
            self._foreground_s = self._clock()

    def _next(self) -> Ticket | None:
        running = sum(ticket.background for ticket in self._running)
        is_quiet = self._clock() - self._foreground_s >= QUIET_S
        most = self._most_background if is_quiet else min(self._most_background, self.count - 1)
        return self._queue.pop(background=running < max(1, most))

    def _next_free_s(self) -> float:
        """Return the seconds until the first slot is expected to be free.

        Work that takes longer than expected is expected to take as long again as it is over.
        """
        now = self._clock()
        return min(abs(t.started_s + t.turn_s - now) for t in self._running)


def _announce(tickets: list[Ticket]) -> None:
    for ticket in tickets:
        ticket.grant()
