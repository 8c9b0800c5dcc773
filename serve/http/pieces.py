"""Send large answers in pieces, and count what waits to be sent."""

import asyncio
from collections.abc import Callable, Iterator

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.errors import REASON, OverloadedError, error_response
from serve.http.budget import ByteBudget, client_of, end_now
from serve.http.connection import ABORT

PIECE_BYTES = 65536


class Pieces:
    """ASGI middleware that sends answers over 64 kB piece by piece, as the client takes them.

    It counts them in `ByteBudget`, from `state["budget"]`. A client that stalls while others need
    the room is reset.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        starts: list[Message] = []  # that wait for the first part of the body

        async def send_in_pieces(message: Message) -> None:
            if message["type"] == "http.response.start":
                starts.append(message)
                return
            messages = [*starts, message]
            starts.clear()
            if len(message.get("body", b"")) > PIECE_BYTES:
                await _send_large(scope, receive, send, messages)
                return
            for part in messages:
                await send(part)

        await self._app(scope, receive, send_in_pieces)


async def _send_large(scope: Scope, receive: Receive, send: Send, messages: list[Message]) -> None:
    """Send the start of an answer, if it is among the messages, and its body in pieces."""
    body = messages[-1]["body"]
    budget: ByteBudget = scope["state"]["budget"]
    timeout = asyncio.timeout(None)
    with budget.open(client_of(scope), end_now(timeout)) as account:
        try:
            budget.grow(account, len(body))
        except OverloadedError as error:
            if len(messages) == 1:
                raise
            scope[REASON] = error.reason
            response = error_response(str(error), status=503, headers={"Retry-After": "1"})
            await response(scope, receive, send)
            return
        try:
            async with timeout:
                for piece in _pieces(messages):
                    await send(piece)
                    account.move(len(piece.get("body", b"")))
        except TimeoutError:
            _abort_of(scope)()


def _pieces(messages: list[Message]) -> Iterator[Message]:
    *starts, message = messages
    yield from starts
    body, more = message["body"], message.get("more_body", False)
    for first in range(0, len(body), PIECE_BYTES):
        last = first + PIECE_BYTES >= len(body)
        piece = body[first : first + PIECE_BYTES]
        yield {**message, "body": piece, "more_body": more or not last}


def _abort_of(scope: Scope) -> Callable[[], None]:
    """Return what resets the connection; under a server without this, an error closes it."""
    extension = scope.get("extensions", {}).get(ABORT)
    if extension is None:
        raise OverloadedError(
            "the client does not read its answer, and others need the memory", reason="bytes"
        )
    abort: Callable[[], None] = extension["abort"]
    return abort
