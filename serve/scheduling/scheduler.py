"""Let requests in, run them in fair order, and stop those that nobody waits for."""

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect

from runtime.engine.resources import cpu_count
from runtime.engine.session import Feeds
from runtime.errors import UnavailableError
from serve.errors import DeadlineError, OverloadedError
from serve.scheduling.admission import Limits, check_admission
from serve.scheduling.arrivals import Arrivals
from serve.scheduling.batches import Batching
from serve.scheduling.call import Call, RunRoom, RunSlots, any_room
from serve.scheduling.job import Job, Turns
from serve.scheduling.service_times import ServiceTimes
from serve.scheduling.slots import Slots
from serve.scheduling.stopwatch import Stopwatch
from serve.scheduling.workers import Workers

T = TypeVar("T")
# makes a context in which a function is called if the client leaves
Leaving = Callable[[Callable[[], None]], AbstractContextManager[None]]

# Clips and sounds wait for decoder processes, not for a CPU: as many more as may hang at once.
MORE_MEDIA_THREADS = 2
SLACK = (
    2.0  # times the limits, for a request whose body is complete: it is refused in a pile-up only
)
CLOSE_S = 1.0  # for a thread that still runs when the server ends
_NO_ARRIVAL = -1  # the number of work whose body is complete


@dataclass(frozen=True, slots=True)
class Place:
    """A request whose head was let in."""

    model: str  # whose queue it joins
    kind: str  # of work, whose time is measured
    media: bool
    number: int  # of its arrival
    timeout_s: float | None  # of the client, from now on
    since_s: float
    background: bool = False  # nobody waits for it at a connection


@dataclass(frozen=True, slots=True)
class Pool:
    """Slots, and as many threads to work in them."""

    slots: Slots
    workers: Workers
    arrivals: Arrivals


class Scheduler:
    """The queues of all models. Use it on the event loop that runs it.

    A request for images, texts or tensors is one job in a slot, of which there is one per CPU. A
    request for a clip or sound decodes in a thread of a second pool, and has a slot only around its
    graph runs.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        first_s: Callable[[str], float | None] = lambda _: None,
        run_room: RunRoom = any_room,
        cpus: int | None = None,
        ended: Callable[[Place, Stopwatch], None] = lambda place, stopwatch: None,
        running: Callable[[str, Feeds], None] = lambda model, feeds: None,
        batching: Batching | None = None,
    ) -> None:
        """Start the threads.

        Args:
            limits: of the queues.
            first_s: returns how long the first request for a model is expected to take; None if
                nothing is known.
            run_room: makes room in memory for each run.
            cpus: slots; None for the CPUs that this process may use.
            ended: called with the place and the stopwatch of all work that ended well.
            running: called in worker threads with the model and the feeds of each run.
            batching: the limits of runs that requests share; None: each runs alone.
        """
        count = cpus or cpu_count()
        self._limits = limits
        self._first_s = first_s
        self._run_room = run_room
        self._ended, self._running = ended, running
        self._times = ServiceTimes()
        # requests that wait in a batch keep their threads
        further = count * (batching.most_rows - 1) if batching else 0
        self._batches = batching.start(further) if batching else None
        self._compute = _pool(count, "slipway", further=further)
        self._media = _pool(
            count + MORE_MEDIA_THREADS, "slipway-media", background=background_media(count)
        )
        self._jobs: set[Job[Any]] = set()

    @contextmanager
    def admit(
        self, model: str, *, kind: str, media: bool = False, timeout_s: float | None = None
    ) -> Iterator[Place]:
        """Let a request in whose head has arrived; the block reads its body and calls `run`.

        Args:
            model: the id whose queue it joins.
            kind: of work, whose time is measured: requests of one route and model.
            media: whether it decodes a clip or sound.
            timeout_s: the client's own; None if it has none.

        Raises:
            OverloadedError: it would not start within its deadline, or the queue's bound.
        """
        pool, now_s = self._pool(media), time.monotonic()
        arriving = pool.arrivals.count(model, now_s)
        self._check(pool, model, kind, timeout_s, arriving=arriving)
        number = pool.arrivals.add(model, now_s)
        try:
            yield Place(model, kind, media, number, timeout_s, now_s)
        finally:
            pool.arrivals.remove(model, number)

    def background_place(
        self, model: str, *, kind: str, timeout_s: float, media: bool = False
    ) -> Place:
        """Return the place of work that was accepted and that nobody waits for at a connection.

        It has no bound but its own timeout. What others wait for comes first.

        Args:
            model: the id whose clock is charged.
            kind: of work, whose time is measured.
            timeout_s: until it starts, from now on.
            media: whether it decodes a clip or sound.
        """
        return Place(model, kind, media, _NO_ARRIVAL, timeout_s, time.monotonic(), background=True)

    async def run(
        self,
        place: Place,
        work: Callable[[Call], Turns[T]],
        *,
        leaving: Leaving = lambda _: nullcontext(),
        timeout_s: float | None = None,
    ) -> tuple[T, Call]:
        """Run the work of a request whose body is complete.

        Args:
            place: from `admit`, or `background_place`.
            work: makes the generator that worker threads run, turn by turn.
            leaving: tells that the client left; the work then ends.
            timeout_s: that the body asks for, from now on; None if it asks for none.

        Returns:
            The result of the work, and the call with its stopwatch.

        Raises:
            OverloadedError: so much came before it meanwhile that it would not start in time; or it
                has several turns, others wait, and there is no room for all of them.
            DeadlineError: it did not start in time.
            ClientDisconnect: the client left.
            UnavailableError: the server ended meanwhile.
        """
        pool = self._pool(place.media)
        pool.arrivals.remove(place.model, place.number)
        left_s = self._seconds_left(place, timeout_s)
        if not place.background:
            self._check(pool, place.model, place.kind, left_s, slack=SLACK)
        job = self._start(pool, place, work)
        loop = asyncio.get_running_loop()
        timer = loop.call_later(left_s, _expire, job, left_s)
        try:
            with leaving(lambda: job.stop(ClientDisconnect())):
                result = await job.result
        except asyncio.CancelledError:
            job.stop(ClientDisconnect())
            raise
        finally:
            timer.cancel()
            self._forget(job)
        self._times.observe(place.kind, job.turn_s)
        self._ended(place, job.call.stopwatch)
        return result, job.call

    def waiting(self, model: str) -> tuple[int, float]:
        """Return the requests that wait for a model, and the seconds of work in them; no jobs."""
        slots = (self._compute.slots, self._media.slots)
        return sum(s.waiting(model) for s in slots), sum(s.waiting_s(model) for s in slots)

    @property
    def running(self) -> tuple[int, int]:
        """Return the slots that are taken, and how many there are."""
        return self._compute.slots.running, self._compute.slots.count

    def close(self) -> None:
        """End the threads; one that still runs ends with the process."""
        for job in self._jobs:
            job.stop(
                UnavailableError("the server ended; the request was not finished", reason="ending")
            )
        for pool in (self._compute, self._media):
            pool.workers.close(CLOSE_S)

    def _pool(self, media: bool) -> Pool:
        return self._media if media else self._compute

    def _expected_s(self, model: str, kind: str) -> float:
        return self._times.expected_s(kind, lambda: self._first_s(model))

    def _seconds_left(self, place: Place, timeout_s: float | None) -> float:
        """Return the seconds that a request whose body is complete may wait."""
        limits = [math.inf if place.background else self._limits.timeout_s]
        if place.timeout_s is not None:
            limits.append(place.timeout_s - (time.monotonic() - place.since_s))
        if timeout_s is not None:
            limits.append(timeout_s)
        return max(0.0, min(limits))

    def _check(
        self,
        pool: Pool,
        model: str,
        kind: str,
        left_s: float | None,
        *,
        arriving: int = 0,
        slack: float = 1.0,
    ) -> None:
        """Raise OverloadedError if a request would not start in time."""
        check_admission(
            pool.slots,
            model,
            self._expected_s(model, kind),
            self._limits,
            left_s=left_s,
            arriving=arriving,
            slack=slack,
        )

    def _start(self, pool: Pool, place: Place, work: Callable[[Call], Turns[T]]) -> Job[T]:
        run_slots = RunSlots(self._compute.slots, self._times, place.model, place.background)
        call = Call(
            run_slots=run_slots if place.media else None,
            run_room=self._run_room,
            running=self._running,
            batches=self._batches,
        )
        turn_s = self._expected_s(place.model, place.kind)

        def check_turns(turns: int) -> None:
            if place.background:
                return
            waiting_s = pool.slots.waiting_s(place.model)
            most_s = SLACK * self._limits.queue_s
            wait_s = (waiting_s + (turns - 1) * turn_s) / pool.slots.count
            if waiting_s and wait_s > most_s:
                raise OverloadedError(
                    f"the request has {turns} files, others wait for {place.model}, and the last "
                    f"would start in about {wait_s:.3g} s; allowed: {most_s:.3g} s; send fewer "
                    "files, or try again later",
                    reason="queue",
                    retry_after_s=math.ceil(wait_s),
                )

        job = Job(
            work,
            call,
            slots=pool.slots,
            workers=pool.workers,
            model=place.model,
            turn_s=turn_s,
            check_turns=check_turns,
            background=place.background,
        )
        self._jobs.add(job)
        return job

    def _forget(self, job: Job[Any]) -> None:
        self._jobs.discard(job)
        job.forget()


def background_media(cpus: int) -> int:
    """Return the clips and sounds of background work that are decoded at once."""
    return max(1, cpus // 2)


def _pool(count: int, name: str, *, background: int | None = None, further: int = 0) -> Pool:
    slots = Slots(count, background=background)
    return Pool(slots, Workers(count + further, name=name), Arrivals())


def _expire(job: Job[Any], waited_s: float) -> None:
    """End a job that did not start in time."""
    message = f"the request waited {waited_s:.3g} s and did not start; try again later"
    job.expire(DeadlineError(message))
