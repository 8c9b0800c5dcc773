"""Order work fairly between models: start-time fair queueing, in seconds.

A model's clock counts the seconds of work that it was given. The model whose clock is behind the
others comes next, so that a burst for one model delays another by the work that runs, not by the
work that waits. A model without work gets no credit: its clock is set forward to the present.

Background work of a model has a queue and a clock of its own, which runs eight times as fast: it
gets a ninth of the time that a busy model has, and all of the time that nobody else wants.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from serve.scheduling.ticket import Ticket

BACKGROUND_WEIGHT = 1 / 8  # of the time that other work gets

_Key = tuple[str, bool]  # model, and whether it is background work


@dataclass(slots=True)
class _ModelQueue:
    background: bool
    waiting: OrderedDict[Ticket, None] = field(default_factory=OrderedDict)
    waiting_s: float = 0.0  # expected work of all that wait
    clock_s: float = 0.0

    @property
    def weight(self) -> float:
        return BACKGROUND_WEIGHT if self.background else 1.0


class FairQueue:
    """Tickets that wait, by model. Its caller holds a lock."""

    def __init__(self) -> None:
        """Begin empty."""
        self._queues: dict[_Key, _ModelQueue] = {}
        self._present_s = 0.0  # the clock of the model that was served last, before its work

    def push(self, ticket: Ticket, *, first: bool = False) -> None:
        """Add a ticket as the last of its model, or as the first."""
        queue = self._of(ticket)
        queue.waiting[ticket] = None
        queue.waiting.move_to_end(ticket, last=not first)
        queue.waiting_s += ticket.work_s

    def pop(self, *, background: bool = True) -> Ticket | None:
        """Remove the ticket whose turn it is and charge its model; None if none waits.

        Args:
            background: whether it may be background work.
        """
        queues = [
            queue
            for queue in self._queues.values()
            if queue.waiting and (background or not queue.background)
        ]
        if not queues:
            return None
        queue = min(queues, key=lambda queue: (queue.clock_s, queue.background))
        ticket, _ = queue.waiting.popitem(last=False)
        self._forget(queue, ticket)
        self._charge(queue, ticket)
        return ticket

    def finish(self, ticket: Ticket, seconds: float) -> None:
        """Replace the expected seconds of a ticket's turn by those that it took."""
        queue = self._of(ticket)
        queue.clock_s += (seconds - ticket.charged_s) / queue.weight

    def remove(self, ticket: Ticket) -> bool:
        """Remove a ticket; return whether it was waiting."""
        queue = self._of(ticket)
        if ticket not in queue.waiting:
            return False
        del queue.waiting[ticket]
        self._forget(queue, ticket)
        return True

    def waiting_s(self, model: str) -> float:
        """Return the seconds of work that wait for a model, without background work."""
        return self._queue(model, background=False).waiting_s

    def waiting(self, model: str) -> int:
        """Return the number of tickets that wait for a model, without background work."""
        return len(self._queue(model, background=False).waiting)

    def has_new(self, model: str, *, background: bool) -> bool:
        """Return whether a request waits for a model that does not wait for its batch."""
        return any(ticket.is_new for ticket in self._queue(model, background=background).waiting)

    def ahead_s(self, model: str, *, arriving_s: float, work_s: float) -> float:
        """Return the seconds of work that come before new work of a model.

        That is all that waits or arrives for the model, and of each other queue at most as much as
        this one will have had by then, times the other's weight.

        Args:
            model: the model.
            arriving_s: work for it that will be there first, but does not wait yet.
            work_s: the new work.
        """
        own_s = self.waiting_s(model) + arriving_s
        return own_s + sum(
            min(queue.waiting_s, (own_s + work_s) * queue.weight) for queue in self._others(model)
        )

    def _others(self, model: str) -> Iterator[_ModelQueue]:
        return (queue for key, queue in self._queues.items() if key != (model, False))

    def _of(self, ticket: Ticket) -> _ModelQueue:
        return self._queue(ticket.model, background=ticket.background)

    def _queue(self, model: str, *, background: bool) -> _ModelQueue:
        queue = self._queues.get((model, background))
        if queue is None:
            queue = self._queues[model, background] = _ModelQueue(background)
        if not queue.waiting:
            queue.clock_s = max(queue.clock_s, self._present_s)
        return queue

    def _charge(self, queue: _ModelQueue, ticket: Ticket) -> None:
        self._present_s = max(self._present_s, queue.clock_s)
        ticket.charged_s = ticket.turn_s
        queue.clock_s += ticket.charged_s / queue.weight

    def _forget(self, queue: _ModelQueue, ticket: Ticket) -> None:
        # an empty queue holds no rests of rounding
        queue.waiting_s = max(0.0, queue.waiting_s - ticket.work_s) if queue.waiting else 0.0
