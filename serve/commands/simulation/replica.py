"""A replica of the server: its real slots, queues and refusals, on simulated time."""

import math
from collections.abc import Callable
from enum import Enum, auto

from serve.commands.simulation.arrivals import Arrival
from serve.commands.simulation.timeline import Timeline
from serve.errors import OverloadedError
from serve.scheduling.admission import Limits, check_admission
from serve.scheduling.service_times import ServiceTimes
from serve.scheduling.slots import Slots
from serve.scheduling.ticket import Ticket


class End(Enum):
    """The end of a request."""

    ANSWERED = auto()
    REFUSED = auto()  # at once: it would not start in time
    EXPIRED = auto()  # it waited for its whole limit


Ended = Callable[[Arrival, End], None]


class Replica:
    """One process with its slots."""

    def __init__(self, timeline: Timeline, slots: int, limits: Limits, ended: Ended) -> None:
        """Begin idle.

        Args:
            timeline: of the simulation.
            slots: in which requests run.
            limits: of the queues.
            ended: called once for each request.
        """
        self._timeline, self._limits, self._ended = timeline, limits, ended
        self._slots = Slots(slots, clock=lambda: timeline.now_s)
        self._times = ServiceTimes()
        self._models = set[str]()
        self._busy_s, self._changed_s = 0.0, timeline.now_s
        self.open = 0  # requests that have no answer yet

    def accept(self, arrival: Arrival) -> None:
        """Queue a request, or refuse it."""
        self._models.add(arrival.model)
        turn_s = self._times.expected_s(arrival.model, lambda: arrival.service_s)
        self.open += 1
        try:
            check_admission(self._slots, arrival.model, turn_s, self._limits)
        except OverloadedError:
            self._end(arrival, End.REFUSED)
            return

        def start() -> None:
            self._timeline.after(arrival.service_s, finish)

        def finish() -> None:
            self._count()
            self._slots.release(ticket)
            self._times.observe(arrival.model, arrival.service_s)
            self._end(arrival, End.ANSWERED)

        def expire() -> None:
            if self._slots.drop(ticket):
                self._end(arrival, End.EXPIRED)

        ticket = Ticket(arrival.model, turn_s, start)
        self._count()
        self._slots.request(ticket)
        if self._slots.waiting(arrival.model):
            self._timeline.after(self._limits.timeout_s, expire)

    @property
    def busy_s(self) -> float:
        """Return the seconds of slots that were taken until now."""
        self._count()
        return self._busy_s

    @property
    def waiting_s(self) -> float:
        """Return the seconds of work that wait."""
        # fsum: a set has another order in each process, and a seed must give one outcome
        return math.fsum(self._slots.waiting_s(model) for model in self._models)

    def _count(self) -> None:
        now_s = self._timeline.now_s
        self._busy_s += self._slots.running * (now_s - self._changed_s)
        self._changed_s = now_s

    def _end(self, arrival: Arrival, end: End) -> None:
        self.open -= 1
        self._ended(arrival, end)
