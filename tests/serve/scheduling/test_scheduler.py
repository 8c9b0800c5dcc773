"""Requests through the scheduler: real threads, and events instead of time."""

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from runtime.errors import UnavailableError
from serve.errors import DeadlineError, OverloadedError
from serve.http.leaving import leaving_by
from serve.scheduling import arrivals
from serve.scheduling.admission import Limits
from serve.scheduling.call import Call
from serve.scheduling.job import Turns, one_turn
from serve.scheduling.scheduler import Scheduler

TIMEOUT_S = 30  # a broken scheduler fails a test after this instead of hanging it
LIMITS = Limits(queue_s=2, queue_requests=512, timeout_s=30)


class Client:
    """The receive function of a client that stays until it is told to leave."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}


class Gate:
    """Work that begins, says so, and ends when it may."""

    def __init__(self) -> None:
        self.started, self.open = threading.Event(), threading.Event()

    def __call__(self, call: Call) -> str:
        self.started.set()
        while not self.open.wait(0.005):
            call.cancellation.check()
        return "done"

    async def begun(self) -> None:
        assert await asyncio.to_thread(self.started.wait, TIMEOUT_S)


@asynccontextmanager
async def scheduling(
    cpus: int = 1, limits: Limits = LIMITS, *, seconds: float = 0.1
) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(limits, first_s=lambda _: seconds, cpus=cpus)
    try:
        async with asyncio.timeout(4 * TIMEOUT_S):
            yield scheduler
    finally:
        scheduler.close()


async def send(
    scheduler: Scheduler,
    work: Callable[[Call], Any],
    *,
    client: Client | None = None,
    model: str = "model",
    kind: str = "fast",
    turns: bool = False,
    **options: Any,
) -> Any:
    """Admit a request whose body is complete at once, and return its result."""
    with scheduler.admit(model, kind=kind, **options) as place:
        generator = work if turns else one_turn(work)
        leaving = partial(leaving_by, (client or Client()).receive)
        result, _ = await scheduler.run(place, generator, leaving=leaving)
        return result


def task(*arguments: Any, **options: Any) -> "asyncio.Task[Any]":
    return asyncio.create_task(send(*arguments, **options))


async def settle() -> None:
    """Let tasks that were just created run until they wait."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_work_runs_off_the_event_loop() -> None:
    async def scenario() -> None:
        async with scheduling() as scheduler:
            identity = await send(scheduler, lambda _: threading.get_ident())
            assert identity != threading.get_ident()

    asyncio.run(scenario())


def test_an_error_reaches_the_caller_and_frees_the_slot() -> None:
    def fail(error: BaseException, _: Call) -> None:
        raise error

    async def scenario() -> None:
        async with scheduling() as scheduler:
            for error in (ZeroDivisionError("a"), StopIteration("b"), SystemExit("c")):
                expected = RuntimeError if isinstance(error, StopIteration) else type(error)
                with pytest.raises(expected):
                    await send(scheduler, partial(fail, error))
            assert await send(scheduler, lambda _: "after") == "after"

    asyncio.run(scenario())


def test_what_would_start_too_late_is_refused_before_its_body() -> None:
    async def scenario() -> None:
        async with scheduling(seconds=1.0) as scheduler:
            gate = Gate()
            accepted = [task(scheduler, gate) for _ in range(2)]
            await gate.begun()
            # one runs for about 1 s, one waits for 1 s: another would start in 2 s
            accepted.append(task(scheduler, gate))
            await settle()
            with pytest.raises(OverloadedError, match="2 requests wait for model") as refusal:
                await send(scheduler, gate)
            assert refusal.value.retry_after_s == 3
            gate.open.set()
            assert await asyncio.gather(*accepted) == ["done"] * 3

    asyncio.run(scenario())


def test_another_model_is_let_in_meanwhile() -> None:
    async def scenario() -> None:
        async with scheduling(seconds=1.0) as scheduler:
            gate = Gate()
            burst = [task(scheduler, gate, model="cut-out", kind="slow") for _ in range(3)]
            await gate.begun()
            await settle()
            with pytest.raises(OverloadedError):
                await send(scheduler, gate, model="cut-out", kind="slow")
            order: list[str] = []
            face = task(scheduler, lambda _: order.append("face"), model="face")
            await settle()
            for one in burst:
                one.add_done_callback(lambda _: order.append("cut-out"))
            gate.open.set()
            await asyncio.gather(face, *burst)
            assert order.index("face") <= 1  # after the cut-out that ran

    asyncio.run(scenario())


def test_a_slow_model_has_a_place_to_wait_for_each_slot() -> None:
    async def scenario() -> None:
        async with scheduling(seconds=20.0) as scheduler:
            gate = Gate()
            running = task(scheduler, gate)
            await gate.begun()
            waiting = task(scheduler, gate)
            await settle()
            with pytest.raises(OverloadedError):
                await send(scheduler, gate)
            gate.open.set()
            assert list(await asyncio.gather(running, waiting)) == ["done"] * 2

    asyncio.run(scenario())


def test_the_timeout_bounds_that_place_too() -> None:
    async def scenario() -> None:
        async with scheduling(seconds=40.0) as scheduler:
            gate = Gate()
            running = task(scheduler, gate)
            await gate.begun()
            with pytest.raises(OverloadedError, match="allowed: 30 s"):
                await send(scheduler, gate)
            gate.open.set()
            await running

    asyncio.run(scenario())


def test_a_count_bounds_what_waits_for_one_model() -> None:
    async def scenario() -> None:
        limits = Limits(queue_s=2, queue_requests=1, timeout_s=30)
        async with scheduling(limits=limits) as scheduler:
            gate = Gate()
            accepted = [task(scheduler, gate) for _ in range(2)]
            await gate.begun()
            await settle()
            with pytest.raises(OverloadedError, match="allowed to wait: 1;"):
                await send(scheduler, gate)
            gate.open.set()
            await asyncio.gather(*accepted)

    asyncio.run(scenario())


def test_a_burst_of_heads_does_not_find_the_same_empty_queue() -> None:
    async def scenario() -> None:
        async with scheduling(seconds=1.0) as scheduler:
            with ExitStack() as heads:
                for _ in range(3):
                    heads.enter_context(scheduler.admit("model", kind="fast"))
                with pytest.raises(OverloadedError):
                    heads.enter_context(scheduler.admit("model", kind="fast"))
            # their bodies did not come: the places are free again
            with scheduler.admit("model", kind="fast"):
                pass

    asyncio.run(scenario())


def test_a_complete_body_is_refused_in_a_pile_up_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "HELD_S", 0.0)  # bodies that took longer than their place

    async def scenario() -> None:
        async with scheduling(seconds=1.0) as scheduler:
            gate = Gate()
            with ExitStack() as heads:
                places = [
                    heads.enter_context(scheduler.admit("model", kind="fast")) for _ in range(6)
                ]
                run = scheduler.run
                running = asyncio.create_task(run(places[0], one_turn(gate)))
                await gate.begun()
                requests = [asyncio.create_task(run(one, one_turn(gate))) for one in places[1:]]
                await settle()
                # the last would wait for 5 s: over the bound of 2 s and its slack
                assert [one.done() for one in requests] == [False] * 4 + [True]
                assert isinstance(requests[-1].exception(), OverloadedError)
                gate.open.set()
                await asyncio.gather(running, *requests[:-1])

    asyncio.run(scenario())


def test_a_request_that_waits_past_its_deadline_is_answered_then() -> None:
    async def scenario() -> None:
        async with scheduling(seconds=0.01) as scheduler:
            gate = Gate()
            running = task(scheduler, gate)
            await gate.begun()
            with pytest.raises(DeadlineError, match=r"did not start"):
                await send(scheduler, gate, timeout_s=0.05)
            assert not running.done()
            gate.open.set()
            assert await running == "done"

    asyncio.run(scenario())


def test_a_request_that_runs_past_its_deadline_is_answered() -> None:
    async def scenario() -> None:
        async with scheduling(seconds=0.01) as scheduler:
            gate = Gate()
            running = task(scheduler, gate, timeout_s=0.5)
            await gate.begun()
            await asyncio.sleep(0.6)
            gate.open.set()
            assert await running == "done"

    asyncio.run(scenario())


def test_a_client_that_leaves_while_it_waits_is_dropped() -> None:
    async def scenario() -> None:
        async with scheduling() as scheduler:
            gate, client, ran = Gate(), Client(), threading.Event()
            running = task(scheduler, gate)
            await gate.begun()
            waiting = task(scheduler, lambda _: ran.set(), client=client)
            await settle()
            client.gone.set()
            with pytest.raises(ClientDisconnect):
                await waiting
            gate.open.set()
            await running
            await send(scheduler, lambda _: None)
            assert not ran.is_set()

    asyncio.run(scenario())


def test_work_ends_when_its_client_leaves() -> None:
    async def scenario() -> None:
        async with scheduling() as scheduler:
            gate, client = Gate(), Client()
            running = task(scheduler, gate, client=client)
            await gate.begun()
            client.gone.set()
            with pytest.raises(ClientDisconnect):
                await running
            assert await send(scheduler, lambda _: "next") == "next"

    asyncio.run(scenario())


def test_work_ends_when_its_task_is_cancelled() -> None:
    async def scenario() -> None:
        async with scheduling() as scheduler:
            gate = Gate()
            running = task(scheduler, gate)
            await gate.begun()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert await send(scheduler, lambda _: "next") == "next"

    asyncio.run(scenario())


def several(gate: Gate, order: list[str], count: int, call: Call) -> Turns[str]:
    for left in range(count, 0, -1):
        yield left
        gate(call)
        order.append("file")
    return "files"


def test_files_of_one_request_take_their_places_together() -> None:
    async def scenario() -> None:
        async with scheduling(seconds=0.5) as scheduler:
            first, gate, order = Gate(), Gate(), list[str]()
            running = task(scheduler, first)
            await first.begun()
            files = task(scheduler, partial(several, gate, order, 3), turns=True)
            await settle()
            other = task(scheduler, lambda _: order.append("other"))
            another = task(scheduler, lambda _: order.append("another model"), model="b")
            await settle()
            first.open.set()
            await gate.begun()
            gate.open.set()
            assert await files == "files"
            await asyncio.gather(running, other, another)
            assert [name for name in order if name != "another model"] == [*["file"] * 3, "other"]
            assert order.index("another model") < 3

    asyncio.run(scenario())


def test_files_that_find_no_room_are_all_refused() -> None:
    async def scenario() -> None:
        async with scheduling(seconds=0.5) as scheduler:
            first, gate, order = Gate(), Gate(), list[str]()
            gate.open.set()
            running = task(scheduler, first)
            await first.begun()
            files = task(scheduler, partial(several, gate, order, 16), turns=True)
            await settle()
            other = task(scheduler, lambda _: "other")
            await settle()
            first.open.set()
            with pytest.raises(OverloadedError, match="the request has 16 files"):
                await files
            assert not order
            assert list(await asyncio.gather(running, other)) == ["done", "other"]

    asyncio.run(scenario())


def test_files_for_which_nobody_waits_may_take_long() -> None:
    async def scenario() -> None:
        gate, order = Gate(), list[str]()
        gate.open.set()
        async with scheduling(seconds=0.5) as scheduler:
            assert await send(scheduler, partial(several, gate, order, 16), turns=True) == "files"
            assert len(order) == 16

    asyncio.run(scenario())


def test_the_time_of_requests_is_learned() -> None:
    async def scenario() -> None:
        async with scheduling(seconds=10.0) as scheduler:
            await send(scheduler, lambda _: None)
            gate = Gate()
            accepted = [task(scheduler, gate) for _ in range(10)]  # 10 s each would be refused
            await gate.begun()
            gate.open.set()
            assert list(await asyncio.gather(*accepted)) == ["done"] * 10

    asyncio.run(scenario())


def test_two_hung_clips_stop_nobody() -> None:
    async def scenario() -> None:
        async with scheduling() as scheduler:
            hung = [Gate(), Gate()]
            clips = [task(scheduler, gate, kind="media", media=True) for gate in hung]
            for gate in hung:
                await gate.begun()
            assert await send(scheduler, lambda _: "image") == "image"
            assert await send(scheduler, lambda _: "clip", kind="media", media=True) == "clip"
            for gate in hung:
                gate.open.set()
            await asyncio.gather(*clips)

    asyncio.run(scenario())


def test_closing_answers_what_waits() -> None:
    async def scenario() -> None:
        async with scheduling() as scheduler:
            gate = Gate()
            accepted = [task(scheduler, gate) for _ in range(3)]
            await gate.begun()
            scheduler.close()
            results = await asyncio.gather(*accepted, return_exceptions=True)
            assert [type(result) for result in results] == [UnavailableError] * 3

    asyncio.run(scenario())


def test_a_result_is_freed_with_its_last_user() -> None:
    """Answers have megabytes: they must not wait for the garbage collector."""

    class Result:
        pass

    async def scenario() -> None:
        async with scheduling() as scheduler:
            result = await send(scheduler, lambda call: Result())
            reference = weakref.ref(result)
            del result
            await asyncio.sleep(0.05)  # the worker lets go of its function
            assert reference() is None

    gc.disable()
    try:
        asyncio.run(scenario())
    finally:
        gc.enable()
