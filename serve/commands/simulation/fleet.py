"""Replicas behind a balancer, from the first arrival to the last answer."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from serve.commands.simulation.arrivals import Arrival
from serve.commands.simulation.replica import End, Replica
from serve.commands.simulation.scaler import Scaler, Scaling
from serve.commands.simulation.timeline import Timeline
from serve.scheduling.admission import Limits

Balance = Literal["round-robin", "least-open"]


@dataclass(frozen=True, slots=True)
class Fleet:
    """The replicas that serve the requests."""

    replicas: int  # at the start
    slots: int  # of each
    limits: Limits
    balance: Balance = "round-robin"
    outside_s: float = 0.0  # that a request takes beside its wait and its slot
    scaling: Scaling | None = None  # None: the replicas stay as many


@dataclass(slots=True)
class Outcome:
    """The result of a simulation. Latencies are of the answered requests."""

    latencies_s: dict[str, list[float]] = field(default_factory=dict)  # by model
    ends: Counter[End] = field(default_factory=Counter)
    replicas: list[tuple[float, int]] = field(default_factory=list)  # that are ready, at changes
    busy_s: float = 0.0  # of slots
    slot_s: float = 0.0  # that there were, of ready replicas

    @property
    def utilisation(self) -> float:
        """Return the busy share of the slots."""
        return self.busy_s / self.slot_s if self.slot_s else 0.0

    @property
    def all_s(self) -> list[float]:
        """Return the latencies of all models."""
        return [time_s for times in self.latencies_s.values() for time_s in times]


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that a share of the values does not exceed; NaN of none."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def simulate(arrivals: Sequence[Arrival], fleet: Fleet) -> Outcome:
    """Return what happens to arrivals, which are in the order of time."""
    run = _Run(fleet, arrivals)
    run.timeline.run(until=run.is_over)
    run.close()
    return run.outcome


class _Run:
    def __init__(self, fleet: Fleet, arrivals: Sequence[Arrival]) -> None:
        self.timeline, self.outcome = Timeline(), Outcome()
        self._fleet, self._arrivals = fleet, arrivals
        self._ready: list[Replica] = []
        self._leaving: list[Replica] = []  # get nothing new
        self._starting = 0
        self._turn = 0  # of the replicas
        self._ended = 0
        self._scaler = Scaler(fleet.scaling) if fleet.scaling else None
        self._busy_s = 0.0  # at the last decision
        self._changed_s = 0.0
        for _ in range(fleet.replicas):
            self._add()
        self._schedule(0)
        if fleet.scaling:
            self.timeline.after(fleet.scaling.period_s, self._scale)

    def is_over(self) -> bool:
        """Return whether each request has ended."""
        return self._ended == len(self._arrivals)

    def close(self) -> None:
        """Count the slots until now."""
        self._count_slots()
        self.outcome.busy_s = self._total_busy_s()

    def _schedule(self, index: int) -> None:
        """Let the next request come; one at a time keeps the events few."""
        if index < len(self._arrivals):
            self.timeline.at(self._arrivals[index].time_s, partial(self._arrive, index))

    def _arrive(self, index: int) -> None:
        self._schedule(index + 1)
        arrival = self._arrivals[index]
        if self._fleet.balance == "least-open":
            replica = min(self._ready, key=lambda one: one.open)
        else:
            self._turn += 1
            replica = self._ready[self._turn % len(self._ready)]
        replica.accept(arrival)

    def _end(self, arrival: Arrival, end: End) -> None:
        self._ended += 1
        self.outcome.ends[end] += 1
        if end is End.ANSWERED:
            latency_s = self.timeline.now_s - arrival.time_s + self._fleet.outside_s
            self.outcome.latencies_s.setdefault(arrival.model, []).append(latency_s)

    def _add(self) -> None:
        fleet = self._fleet
        self._count_slots()
        self._ready.append(Replica(self.timeline, fleet.slots, fleet.limits, self._end))
        self._note()

    def _start(self) -> None:
        self._starting -= 1
        self._add()

    def _scale(self) -> None:
        scaling = self._fleet.scaling
        assert scaling is not None
        assert self._scaler is not None
        busy_s = self._total_busy_s()
        busy, self._busy_s = (busy_s - self._busy_s) / scaling.period_s, busy_s
        waiting_s = sum(replica.waiting_s for replica in self._ready)
        count = len(self._ready) + self._starting
        target = self._scaler.decide(self.timeline.now_s, busy, waiting_s, count)
        for _ in range(target - count):
            self._starting += 1
            self.timeline.after(scaling.start_s, self._start)
        for _ in range(min(count - target, len(self._ready) - 1)):
            self._count_slots()
            self._leaving.append(self._ready.pop())
            self._note()
        self.timeline.after(scaling.period_s, self._scale)

    def _total_busy_s(self) -> float:
        return sum(replica.busy_s for replica in (*self._ready, *self._leaving))

    def _count_slots(self) -> None:
        now_s = self.timeline.now_s
        self.outcome.slot_s += len(self._ready) * self._fleet.slots * (now_s - self._changed_s)
        self._changed_s = now_s

    def _note(self) -> None:
        changes, now_s = self.outcome.replicas, self.timeline.now_s
        if changes and changes[-1][0] == now_s:
            changes.pop()
        changes.append((now_s, len(self._ready)))
