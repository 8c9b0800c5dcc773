"""Equal requests at the same time: the first runs, the others wait for its answer."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Generic, TypeVar

from starlette.requests import ClientDisconnect

from runtime.errors import UnavailableError
from serve.errors import DeadlineError, OverloadedError
from serve.http.leaving import Leaving

T = TypeVar("T")

# these belong to one request: the others try by themselves
_OF_ONE = (UnavailableError, OverloadedError)


class Flight(Generic[T]):
    """Work that several requests wait for."""

    def __init__(self, key: str) -> None:
        """Begin without the work."""
        self.key = key
        self.waiting = 0
        self.has_begun = False  # a worker thread sets it
        self.task: asyncio.Task[T]


class Flights(Generic[T]):
    """The work in flight by key. Use it on the event loop only.

    The work belongs to all that wait for it: it is cancelled when the last of them leaves, and none
    of them fails because another one left.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self._flights: dict[str, Flight[T]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def join(
        self,
        key: str,
        start: Callable[[Flight[T]], Coroutine[Any, Any, T]],
        *,
        leaving: Leaving,
        timeout_s: float,
    ) -> tuple[T, bool]:
        """Return the result of the work with this key, and whether this call began it.

        Args:
            key: equal for equal work.
            start: begins the work, if nobody has; sets `has_begun` when it leaves its queue.
            leaving: tells that the client left.
            timeout_s: to wait until the work of others has begun.

        Raises:
            ClientDisconnect: the client left.
            DeadlineError: the work of others did not begin in time.
            Exception: what the work raised. If that of others found no place, this call tries too.
        """
        loop = asyncio.get_running_loop()
        left: asyncio.Future[None] = loop.create_future()
        end_s = loop.time() + timeout_s
        with leaving(partial(_set, left)):
            while True:
                flight = self._flights.get(key)
                if flight is None:
                    return await self._wait(self._begin(key, start), left, None), True
                try:
                    return await self._wait(flight, left, end_s), False
                except _OF_ONE:
                    if not flight.task.done():
                        raise

    def _begin(self, key: str, start: Callable[[Flight[T]], Coroutine[Any, Any, T]]) -> Flight[T]:
        flight: Flight[T] = Flight(key)
        flight.task = asyncio.get_running_loop().create_task(start(flight))
        flight.task.add_done_callback(lambda _: self._end(flight))
        self._flights[key] = flight
        return flight

    def _end(self, flight: Flight[T]) -> None:
        self._forget(flight)
        if not flight.task.cancelled():
            flight.task.exception()  # read, also where everybody has left

    def _forget(self, flight: Flight[T]) -> None:
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]

    async def _wait(self, flight: Flight[T], left: asyncio.Future[None], end_s: float | None) -> T:
        loop = asyncio.get_running_loop()
        tasks: tuple[asyncio.Future[Any], ...] = (flight.task, left)
        flight.waiting += 1
        try:
            timeout_s = None if end_s is None else max(0.0, end_s - loop.time())
            first = asyncio.FIRST_COMPLETED
            done, _ = await asyncio.wait(tasks, timeout=timeout_s, return_when=first)
            if not done and flight.has_begun:
                done, _ = await asyncio.wait(tasks, return_when=first)
            if flight.task in done:
                return flight.task.result()
            if left in done:
                raise ClientDisconnect
            raise DeadlineError("an equal request waited and did not start; try again later")
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                self._forget(flight)  # an equal request from now on begins anew
                flight.task.cancel()


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
