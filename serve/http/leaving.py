"""Tell the work of a request that its client has left."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, Protocol

from starlette.requests import Request
from starlette.types import Scope

LEAVING = "slipway.leaving"  # the ASGI extension of `Connection`, whose "client" is a `Client`

Act = Callable[[], None]
Leaving = Callable[[Act], AbstractContextManager[None]]  # as `Scheduler.run` takes it
Receive = Callable[[], Awaitable[Any]]  # of an ASGI request; its next message after the body


class Client(Protocol):
    """The client of a connection."""

    @property
    def has_left(self) -> bool:
        """Return whether it left before the end of its answer."""

    def on_leaving(self, act: Act | None) -> None:
        """Call a function, in place of an earlier one, when the client leaves."""


def leaving_of(request: Request[Any]) -> Leaving:
    """Return what makes a context in which a function is called if the client leaves.

    The body of the request was received.
    """
    client = _client_of(request.scope)
    return partial(_told_by, client) if client else partial(leaving_by, request.receive)


def has_left(scope: Scope) -> bool:
    """Return whether the connection lost its client; False with another ASGI server."""
    client = _client_of(scope)
    return client is not None and client.has_left


@contextmanager
def leaving_by(receive: Receive, act: Act) -> Iterator[None]:
    """Call a function if the client leaves within the block, with any ASGI server.

    This is a task for each request; a `Client` costs two calls.
    """

    async def watch() -> None:
        if (await receive())["type"] == "http.disconnect":
            act()

    task = asyncio.get_running_loop().create_task(watch())
    try:
        yield
    finally:
        task.cancel()


@contextmanager
def _told_by(client: Client, act: Act) -> Iterator[None]:
    if client.has_left:
        act()
    client.on_leaving(act)
    try:
        yield
    finally:
        client.on_leaving(None)


def _client_of(scope: Scope) -> Client | None:
    extension = scope.get("extensions", {}).get(LEAVING)
    return extension["client"] if extension else None
