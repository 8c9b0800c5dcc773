"""Equal work at the same time: who leaves, what fails, and how long others wait."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from runtime.errors import InputError, UnavailableError
from serve.cache.flights import Flight, Flights
from serve.errors import DeadlineError
from serve.http.leaving import leaving_by

Start = Callable[[Flight[str]], Coroutine[Any, Any, str]]


class Work:
    """Work that ends when it is told to; counts how often it began."""

    def __init__(self, *errors: Exception) -> None:
        self.gate = asyncio.Event()
        self.began = 0
        self.cancelled = 0
        self._errors = list(errors)

    async def __call__(self, flight: Flight[str]) -> str:
        self.began += 1
        flight.has_begun = True
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            await asyncio.sleep(0.01)  # a run ends some milliseconds after it is told to
            raise
        if self._errors:
            raise self._errors.pop(0)
        return f"answer {self.began}"


class Client:
    """The receiving side of a request: its client stays until `leave`."""

    def __init__(self) -> None:
        self._gone = asyncio.Event()

    def leave(self) -> None:
        self._gone.set()

    async def receive(self) -> dict[str, str]:
        await self._gone.wait()
        return {"type": "http.disconnect"}


def join(
    flights: Flights[str], work: Start, client: Client | None = None, timeout_s: float = 20
) -> asyncio.Task[tuple[str, bool]]:
    leaving = partial(leaving_by, (client or Client()).receive)
    return asyncio.ensure_future(flights.join("key", work, leaving=leaving, timeout_s=timeout_s))


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_equal_work_runs_once() -> None:
    async def check() -> None:
        flights, work = Flights[str](), Work()
        tasks = [join(flights, work) for _ in range(50)]
        await settle()
        work.gate.set()
        results = await asyncio.gather(*tasks)
        assert {text for text, _ in results} == {"answer 1"}
        assert [is_first for _, is_first in results].count(True) == 1
        assert (work.began, len(flights)) == (1, 0)

    asyncio.run(check())


@pytest.mark.parametrize("how", ["leaves", "is cancelled"])
def test_the_first_leaves_and_the_others_get_the_answer(how: str) -> None:
    async def check() -> None:
        flights, work, client = Flights[str](), Work(), Client()
        first, others = join(flights, work, client), [join(flights, work) for _ in range(3)]
        await settle()
        if how == "leaves":
            client.leave()
        else:
            first.cancel()
        await settle()
        with pytest.raises(ClientDisconnect if how == "leaves" else asyncio.CancelledError):
            await first
        work.gate.set()
        assert {text for text, _ in await asyncio.gather(*others)} == {"answer 1"}
        assert (work.began, work.cancelled) == (1, 0)

    asyncio.run(check())


def test_work_that_everybody_left_is_stopped_and_the_next_begins_anew() -> None:
    async def check() -> None:
        flights, work = Flights[str](), Work()
        clients = [Client(), Client()]
        tasks = [join(flights, work, client) for client in clients]
        await settle()
        for client in clients:
            client.leave()
        await asyncio.gather(*tasks, return_exceptions=True)
        again = join(flights, work)
        await settle()
        assert work.cancelled == 1
        work.gate.set()
        assert await again == ("answer 2", True)
        assert len(flights) == 0

    asyncio.run(check())


def test_an_error_of_the_request_is_that_of_all() -> None:
    async def check() -> None:
        flights, work = Flights[str](), Work(InputError("no picture"))
        tasks = [join(flights, work) for _ in range(3)]
        await settle()
        work.gate.set()
        errors = await asyncio.gather(*tasks, return_exceptions=True)
        assert [str(error) for error in errors] == ["no picture"] * 3
        assert work.began == 1

    asyncio.run(check())


def test_an_error_of_the_first_alone_is_not_that_of_the_others() -> None:
    async def check() -> None:
        flights, work = Flights[str](), Work(UnavailableError("it waited too long"))
        first, *others = (join(flights, work) for _ in range(3))
        await settle()
        work.gate.set()
        with pytest.raises(UnavailableError, match="it waited too long"):
            await first
        assert {text for text, _ in await asyncio.gather(*others)} == {"answer 2"}

    asyncio.run(check())


def test_who_waits_for_work_that_does_not_begin_gets_503() -> None:
    async def check() -> None:
        flights, gate = Flights[str](), asyncio.Event()

        async def queued(flight: Flight[str]) -> str:
            await gate.wait()
            return "late"

        first = join(flights, queued)
        await settle()
        with pytest.raises(DeadlineError, match="did not start"):
            await join(flights, queued, timeout_s=0.01)
        gate.set()
        assert await first == ("late", True)

    asyncio.run(check())


def test_work_that_has_begun_is_waited_for() -> None:
    async def check() -> None:
        flights, work = Flights[str](), Work()
        join_first = join(flights, work)
        await settle()
        second = join(flights, work, timeout_s=0.0)
        await asyncio.sleep(0.01)
        work.gate.set()
        assert await second == ("answer 1", False)
        await join_first

    asyncio.run(check())
