"""Join the runs of requests that wait for the same model into one run of a batch.

A request that comes to its run while others wait for the same model gives its slot to them and
waits behind them. They decode, come to the same run, and join. Whoever fills the batch, or has its
turn again, or comes last, runs it for all. So a batch holds what waits already, and no slot is
idle meanwhile.
"""

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.engine.cancellation import Cancellation
from runtime.engine.session import Feeds, feed_bytes
from runtime.errors import CancelledError
from serve.scheduling.rows import count_rows, row_cost, rows_per_run
from serve.scheduling.slots import Slots
from serve.scheduling.ticket import Ticket

Outputs = dict[str, NDArray[Any]]
RunFeeds = Callable[[Feeds, Cancellation], "TimedOutputs"]
LONGEST_RUN_MS = 200.0  # of a batch: so long it may delay the other models


@dataclass(frozen=True, slots=True)
class TimedOutputs:
    """The outputs of one run, and when it ran, on the clock of `time.perf_counter`."""

    outputs: Outputs
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Share:
    """The part of one request in a run: its rows of the outputs."""

    outputs: Outputs
    rows: int  # of the request
    batch_rows: int  # of the run
    start_s: float
    end_s: float

    @property
    def fraction(self) -> float:
        """Return the part of the run's time that counts for this request."""
        return self.rows / self.batch_rows


@dataclass(frozen=True, slots=True)
class Place:
    """The slot of a request that comes to a run, or the ticket with which it waits for one."""

    slots: Slots
    model: str  # whose clock is charged
    background: bool
    turn_s: float  # that the rest of its turn is expected to take
    ticket: Ticket | None  # has a slot; None: the request has none yet


@dataclass(eq=False, slots=True)
class _Member:
    feeds: Feeds
    rows: int
    cancellation: Cancellation
    place: Place
    wake: threading.Event = field(default_factory=threading.Event)
    ticket: Ticket | None = None  # with which it waits; its owner changes it under the lock
    is_queued: bool = False  # the ticket waits for a slot, or was just granted one
    outcome: Share | BaseException | None = None


class _State(Enum):
    OPEN = auto()
    TAKEN = auto()  # somebody runs it
    DONE = auto()


@dataclass(eq=False, slots=True)
class _Batch:
    key: Hashable
    most_rows: int
    run: RunFeeds  # of the request that began it
    members: list[_Member] = field(default_factory=list)
    state: _State = _State.OPEN

    @property
    def rows(self) -> int:
        return sum(member.rows for member in self.members)


RoomRows = Callable[[str, int], int | None]


def _any_rows(model_id: str, row_bytes: int) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Batching:
    """The limits of batches."""

    most_rows: int  # of a batch
    delay_s: float = 0.0  # that a batch waits for further requests, when none waits already
    # the rows of so many bytes that the memory for a batch of a model holds; None: unknown
    room_rows: RoomRows = _any_rows

    def start(self, most_waiting: int) -> "Batches":
        """Return batches, none of which has begun; `most_waiting` as for `Batches`."""
        return Batches(self, most_waiting=most_waiting)


class Batches:
    """The batches that gather now. Safe to use from several threads at once."""

    def __init__(self, batching: Batching, *, most_waiting: int) -> None:
        """Begin without any.

        Args:
            batching: the limits.
            most_waiting: requests that had a slot and wait in a batch: each keeps a thread.
        """
        self.most_rows = batching.most_rows
        self._delay_s = batching.delay_s
        self._room_rows = batching.room_rows
        self._most_waiting = most_waiting
        self._lock = threading.Lock()
        self._open: dict[Hashable, _Batch] = {}
        self._waiting = 0

    def rows_that_fit(self, version: str, feeds: Feeds, most_rows: int) -> int:
        """Return how many rows like those of a request may share a run, with regard to memory."""
        rows = max(1, count_rows(feeds))
        room = self._room_rows(version, feed_bytes(feeds) // rows)
        if room is None:
            room = rows_per_run(row_cost(feeds, rows))
        return min(most_rows, room)

    def run(
        self,
        key: Hashable,
        feeds: Feeds,
        most_rows: int,
        *,
        run: RunFeeds,
        place: Place,
        cancellation: Cancellation,
    ) -> Share:
        """Run some rows, in a batch with others if others wait.

        A request that had a slot has one again afterwards, also after an error.

        Args:
            key: of runs that may be joined: the graph, its outputs, the shapes of a row.
            feeds: arrays whose first axis is the batch.
            most_rows: of the batch.
            run: runs the graph on joined inputs; a batch calls that of its first member.
            place: where the request waits, and the slot that it has.
            cancellation: of the request. The run ends early when all its requests were cancelled.

        Raises:
            CancelledError: the request was cancelled.
            Exception: from `run`, with the rows of this request alone.
        """
        member = _Member(feeds, count_rows(feeds), cancellation, place)
        with self._lock:
            batch = self._join(key, member, most_rows, run)
            leads = place.ticket is not None and self._begins(batch, place)
            if leads:
                self._take(batch, member)
            else:
                self._wait_behind(member)
        try:
            if leads or self._wait(batch, member):
                self._lead(batch, member)
        finally:
            if place.ticket is None and member.ticket is not None:
                place.slots.release(member.ticket)
        cancellation.check()
        outcome = member.outcome
        if isinstance(outcome, Share):
            return outcome
        raise outcome or RuntimeError("a batch ended without an outcome")

    def _join(self, key: Hashable, member: _Member, most_rows: int, run: RunFeeds) -> _Batch:
        batch = self._open.get(key)
        if batch is None or batch.rows + member.rows > batch.most_rows:
            # one that is too full for this request still runs when one of its members has a turn
            batch = self._open[key] = _Batch(key, most_rows, run)
        batch.members.append(member)
        return batch

    def _begins(self, batch: _Batch, place: Place) -> bool:
        """Return whether a request that has a slot runs the batch at once."""
        if batch.rows >= batch.most_rows or self._waiting >= self._most_waiting:
            return True
        if self._delay_s:
            return False
        return not place.slots.has_new(place.model, background=place.background)

    def _wait_behind(self, member: _Member) -> None:
        """Give the slot of a request to the others, and queue it behind them."""
        place = member.place
        if place.ticket is not None:
            self._waiting += 1
        if not self._delay_s:
            self._queue(member)
        if place.ticket is not None:
            place.slots.release(place.ticket)

    def _queue(self, member: _Member, *, first: bool = False) -> None:
        place = member.place
        member.is_queued = True
        member.ticket = Ticket(
            place.model,
            place.turn_s,
            member.wake.set,
            background=place.background,
            is_new=False,
        )
        place.slots.request(member.ticket, first=first)

    def _wait(self, batch: _Batch, member: _Member) -> bool:
        """Wait until the batch has run, or this request shall run it; return whether it shall."""
        delay_s = self._delay_s or None
        while True:
            woken = member.wake.wait(delay_s)
            delay_s = None
            with self._lock:
                if not woken and not member.wake.is_set():
                    if batch.state is _State.OPEN:
                        self._queue(member)
                    continue
                member.wake.clear()
                if batch.state is _State.TAKEN:  # the turn came too early: others go on
                    member.is_queued = False
                    if member.ticket is not None:
                        member.place.slots.release(member.ticket)
                    continue
                self._resume(member)
                if batch.state is _State.DONE:
                    return False
                self._take(batch, member)
                return True

    def _resume(self, member: _Member) -> None:
        """Let the request have the slot that its ticket got."""
        place = member.place
        if place.ticket is not None and member.ticket is not None:
            self._waiting -= 1
            place.slots.exchange(member.ticket, place.ticket)

    def _take(self, batch: _Batch, leader: _Member) -> None:
        batch.state = _State.TAKEN
        if self._open.get(batch.key) is batch:
            del self._open[batch.key]
        for member in batch.members:
            if member is not leader and member.is_queued and member.ticket is not None:
                member.is_queued = not member.place.slots.drop(member.ticket)

    def _lead(self, batch: _Batch, leader: _Member) -> None:
        """Run the batch in this thread, then let the others go on."""
        try:
            _run_together(batch.run, batch.members)
        finally:
            with self._lock:
                batch.state = _State.DONE
                for member in reversed(batch.members):
                    if member is not leader and not member.is_queued:
                        self._queue(member, first=True)


def _run_together(run: RunFeeds, members: Sequence[_Member]) -> None:
    """Run the rows of all that have not left; if that fails, those of each alone."""
    present = [member for member in members if not member.cancellation.cancelled]
    if len(present) > 1:
        try:
            _run_joined(run, present)
        except CancelledError as error:  # all have left
            for member in present:
                member.outcome = error
        except Exception:  # of one row, or for want of memory: the others shall not fail with it
            for member in present:
                _run_alone(run, member)
    for member in present[:1] if len(present) == 1 else ():
        _run_alone(run, member)


def _run_alone(run: RunFeeds, member: _Member) -> None:
    try:
        timed = run(member.feeds, member.cancellation)
    except BaseException as error:  # its own thread raises it
        member.outcome = error
    else:
        rows = member.rows
        member.outcome = Share(timed.outputs, rows, rows, timed.start_s, timed.end_s)


def _run_joined(run: RunFeeds, members: Sequence[_Member]) -> None:
    feeds = {
        name: np.concatenate([member.feeds[name] for member in members])
        for name in members[0].feeds
    }
    rows = sum(member.rows for member in members)
    with ExitStack() as stack:
        timed = run(feeds, _of_all(members, stack))
    if any(len(array) != rows for array in timed.outputs.values()):
        raise ValueError(f"outputs have other rows than the {rows} of the batch")
    first = 0
    for member in members:
        outputs = _rows_of(timed.outputs, first, member.rows)
        member.outcome = Share(outputs, member.rows, rows, timed.start_s, timed.end_s)
        first += member.rows


def _rows_of(outputs: Mapping[str, NDArray[Any]], first: int, count: int) -> Outputs:
    """Return copies of some rows: views would keep the outputs of the whole batch in memory."""
    return {name: array[first : first + count].copy() for name, array in outputs.items()}


def _of_all(members: Sequence[_Member], stack: ExitStack) -> Cancellation:
    """Return what is cancelled when the last one of the requests is, until the stack is closed."""
    together, lock, left = Cancellation(), threading.Lock(), len(members)

    def leave() -> None:
        nonlocal left
        with lock:
            left -= 1
            ended = not left
        if ended:
            together.cancel()

    for member in members:
        try:
            stack.enter_context(member.cancellation.stopping(leave))
        except CancelledError:
            leave()
    return together
