"""Order work fairly between models: start-time fair queueing, in seconds.

A model's clock counts the seconds of work that it was given. The model whose clock is behind the
others comes next, so that a burst for one model delays another by the work that runs, not by the
work that waits. A model without work gets no credit: its clock is set forward to the present.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from serve.scheduling.ticket import Ticket


@dataclass(slots=True)
class _ModelQueue:
    waiting: OrderedDict[Ticket, None] = field(default_factory=OrderedDict)
    waiting_s: float = 0.0  # expected work of all that wait
    clock_s: float = 0.0


class FairQueue:
    """Tickets that wait, by model. Its caller holds a lock."""

    def __init__(self) -> None:
        """Begin empty."""
        self._models: dict[str, _ModelQueue] = {}
        self._present_s = 0.0  # the clock of the model that was served last, before its work

    def push(self, ticket: Ticket, *, first: bool = False) -> None:
        """Add a ticket as the last of its model, or as the first."""
        queue = self._of(ticket.model)
        queue.waiting[ticket] = None
        queue.waiting.move_to_end(ticket, last=not first)
        queue.waiting_s += ticket.work_s

    def pop(self) -> Ticket | None:
        """Remove the ticket whose turn it is and charge its model; None if none waits."""
        queues = [queue for queue in self._models.values() if queue.waiting]
        if not queues:
            return None
        queue = min(queues, key=lambda queue: queue.clock_s)
        ticket, _ = queue.waiting.popitem(last=False)
        self._forget(queue, ticket)
        self._charge(queue, ticket)
        return ticket

    def finish(self, ticket: Ticket, seconds: float) -> None:
        """Replace the expected seconds of a ticket's turn by those that it took."""
        self._of(ticket.model).clock_s += seconds - ticket.charged_s

    def remove(self, ticket: Ticket) -> bool:
        """Remove a ticket; return whether it was waiting."""
        queue = self._of(ticket.model)
        if ticket not in queue.waiting:
            return False
        del queue.waiting[ticket]
        self._forget(queue, ticket)
        return True

    def waiting_s(self, model: str) -> float:
        """Return the seconds of work that wait for a model."""
        return self._of(model).waiting_s

    def waiting(self, model: str) -> int:
        """Return the number of tickets that wait for a model."""
        return len(self._of(model).waiting)

    def ahead_s(self, model: str, *, arriving_s: float, work_s: float) -> float:
        """Return the seconds of work that come before new work of a model.

        That is all that waits or arrives for the model, and of each other model at most as much as
        this one will have had by then.

        Args:
            model: the model.
            arriving_s: work for it that will be there first, but does not wait yet.
            work_s: the new work.
        """
        own_s = self.waiting_s(model) + arriving_s
        return own_s + sum(min(waiting_s, own_s + work_s) for waiting_s in self._others(model))

    def _others(self, model: str) -> Iterator[float]:
        return (queue.waiting_s for name, queue in self._models.items() if name != model)

    def _of(self, model: str) -> _ModelQueue:
        queue = self._models.get(model)
        if queue is None:
            queue = self._models[model] = _ModelQueue()
        if not queue.waiting:
            queue.clock_s = max(queue.clock_s, self._present_s)
        return queue

    def _charge(self, queue: _ModelQueue, ticket: Ticket) -> None:
        self._present_s = max(self._present_s, queue.clock_s)
        ticket.charged_s = ticket.turn_s
        queue.clock_s += ticket.charged_s

    def _forget(self, queue: _ModelQueue, ticket: Ticket) -> None:
        # an empty queue holds no rests of rounding
        queue.waiting_s = max(0.0, queue.waiting_s - ticket.work_s) if queue.waiting else 0.0
