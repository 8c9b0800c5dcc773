import asyncio
import threading
from collections.abc import Callable
from functools import partial

import pytest

from serve.errors import OverloadedError
from serve.http.worker_pool import WorkerPool

TIMEOUT_S = 5  # a broken pool fails a test after this instead of hanging it


async def eventually(pool: WorkerPool, work: Callable[[], bool]) -> bool:
    """Run as soon as there is a place: a worker gives its own back just after it answers."""
    for _ in range(200):
        try:
            return await pool.run(work)
        except OverloadedError:
            await asyncio.sleep(0.005)
    return False


def test_functions_run_off_the_event_loop() -> None:
    async def scenario() -> int:
        with WorkerPool(workers=1, queue=0) as pool:
            return await pool.run(threading.get_ident)

    assert asyncio.run(scenario()) != threading.get_ident()


def test_a_full_queue_refuses_and_recovers() -> None:
    async def scenario() -> list[bool]:
        gate = threading.Event()
        work = partial(gate.wait, TIMEOUT_S)
        with WorkerPool(workers=1, queue=1) as pool:
            accepted = [asyncio.create_task(pool.run(work)) for _ in range(2)]
            await asyncio.sleep(0)
            with pytest.raises(OverloadedError, match="2 requests are running or waiting"):
                await pool.run(work)
            gate.set()
            answers = await asyncio.gather(*accepted)
            return [*answers, await eventually(pool, work)]

    assert asyncio.run(scenario()) == [True, True, True]


def test_a_cancelled_caller_keeps_its_place_until_the_work_ends() -> None:
    async def scenario() -> bool:
        gate, started = threading.Event(), threading.Event()

        def work() -> bool:
            started.set()
            return gate.wait(TIMEOUT_S)

        with WorkerPool(workers=1, queue=0) as pool:
            caller = asyncio.create_task(pool.run(work))
            await asyncio.to_thread(started.wait, TIMEOUT_S)
            caller.cancel()
            await asyncio.gather(caller, return_exceptions=True)
            with pytest.raises(OverloadedError):
                await pool.run(work)
            gate.set()
            return await eventually(pool, work)

    assert asyncio.run(scenario())


def test_an_error_of_the_function_reaches_the_caller_and_frees_the_place() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    async def scenario() -> None:
        with WorkerPool(workers=1, queue=0) as pool:
            for _ in range(3):
                with pytest.raises(ZeroDivisionError):
                    await pool.run(fail)
                await asyncio.sleep(0.01)

    asyncio.run(scenario())
