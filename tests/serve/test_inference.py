import asyncio
import threading

import pytest

from serve.errors import OverloadedError
from serve.inference import WorkerPool


def test_functions_run_off_the_event_loop() -> None:
    async def scenario() -> int:
        with WorkerPool(workers=1, queue=0) as pool:
            return await pool.run(threading.get_ident)

    assert asyncio.run(scenario()) != threading.get_ident()


def test_one_more_than_workers_and_queue_is_refused_and_places_come_back() -> None:
    async def scenario() -> list[bool]:
        gate = threading.Event()
        with WorkerPool(workers=1, queue=1) as pool:
            accepted = [asyncio.create_task(pool.run(gate.wait)) for _ in range(2)]
            await asyncio.sleep(0)
            with pytest.raises(OverloadedError, match="2 requests are running or waiting"):
                await pool.run(gate.wait)
            gate.set()
            answers = await asyncio.gather(*accepted)
            return [*answers, await pool.run(gate.wait)]

    assert asyncio.run(scenario()) == [True, True, True]


def test_a_cancelled_caller_keeps_its_place_until_the_work_ends() -> None:
    async def scenario() -> bool:
        gate, started = threading.Event(), threading.Event()

        def work() -> bool:
            started.set()
            return gate.wait()

        with WorkerPool(workers=1, queue=0) as pool:
            caller = asyncio.create_task(pool.run(work))
            await asyncio.to_thread(started.wait)
            caller.cancel()
            await asyncio.gather(caller, return_exceptions=True)
            with pytest.raises(OverloadedError):
                await pool.run(work)
            gate.set()
            while True:
                try:
                    return await pool.run(work)
                except OverloadedError:  # the worker is about to give its place back
                    await asyncio.sleep(0.001)

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
