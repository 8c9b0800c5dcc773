"""A job between two threads, with workers that run when the test says so."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from serve.errors import DeadlineError
from serve.scheduling.call import Call
from serve.scheduling.job import Job, Turns
from serve.scheduling.slots import Slots
from serve.scheduling.stopwatch import Stopwatch
from serve.scheduling.workers import Workers

TIMEOUT_S = 30  # a broken job fails a test after this instead of hanging it


class ManualWorkers:
    """Functions that were handed over and did not begin."""

    def __init__(self) -> None:
        self.functions: list[Callable[[], None]] = []

    def put(self, function: Callable[[], None]) -> None:
        self.functions.append(function)

    def continue_with(self, release: Callable[[], None]) -> None:
        release()

    def run(self) -> None:
        self.functions.pop(0)()


class Clock:
    """Seconds that the test sets."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def started(
    turns: Turns[Any], *, call: Call | None = None, slots: Slots | None = None
) -> tuple[Job[Any], ManualWorkers]:
    workers = ManualWorkers()
    job = Job(
        lambda _: turns,
        call or Call(),
        slots=slots or Slots(1),
        workers=cast(Workers, workers),
        model="model",
        turn_s=0.1,
        check_turns=lambda _: None,
    )
    return job, workers


def files(log: list[str], count: int) -> Turns[str]:
    for left in range(count, 0, -1):
        yield left
        log.append("file")
    return "files"


def test_work_that_was_stopped_before_a_thread_took_it_is_not_done() -> None:
    async def scenario() -> None:
        log: list[str] = []
        job, workers = started(files(log, 1))
        job.stop(ZeroDivisionError())
        assert not job.result.done()  # its slot is not free yet
        workers.run()
        with pytest.raises(ZeroDivisionError):
            await job.result
        assert not log

    asyncio.run(asyncio.wait_for(scenario(), TIMEOUT_S))


def test_a_deadline_ends_what_waits_for_its_first_turn_alone() -> None:
    async def scenario() -> None:
        log: list[str] = []
        slots = Slots(1)
        job, workers = started(files(log, 2), slots=slots)
        job.expire(DeadlineError("late"))  # it has its slot
        workers.run()
        waiting, _ = started(files(log, 1), slots=slots)
        waiting.expire(DeadlineError("late"))
        with pytest.raises(DeadlineError):
            await waiting.result
        workers.run()
        job.expire(DeadlineError("late"))  # it waits for its second file
        workers.run()
        assert await job.result == "files"
        assert log == ["file"] * 2

    asyncio.run(asyncio.wait_for(scenario(), TIMEOUT_S))


def test_the_time_of_a_turn_is_the_mean_over_the_files() -> None:
    async def scenario() -> None:
        clock = Clock()

        def work() -> Turns[str]:
            for left in (4, 3, 2, 1):
                yield left
                clock.now_s += 1.0
            return "files"

        job, workers = started(work(), call=Call(stopwatch=Stopwatch(clock)))
        while workers.functions:
            clock.now_s += 10.0  # it waits
            workers.run()
        await job.result
        assert job.turn_s == pytest.approx(1.0)
        assert job.call.stopwatch.queue_s == pytest.approx(50.0)

    asyncio.run(asyncio.wait_for(scenario(), TIMEOUT_S))
