"""Answer the requests that the end of the server cuts."""

import asyncio
from dataclasses import dataclass, field

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.http.security import NO_PAGE, SECURITY_FIELDS
from serve.http.stop import Stop


@dataclass(frozen=True, slots=True)
class AnsweringCuts:
    """An ASGI application whose requests get 503 if the end of the server cuts them.

    One whose answer has begun is cut off: its client sees that the answer is not whole.
    """

    app: ASGIApp
    stop: Stop = field(repr=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        has_started = False

        async def send_noting(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self.app(scope, receive, send_noting)
        except asyncio.CancelledError:
            if has_started or scope["type"] != "http" or not self.stop.requested:
                raise
            await _send_cut(send)


async def _send_cut(send: Send) -> None:
    body = orjson.dumps({"error": "the server ends; send the request to another one"})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", b"1"),
        (b"connection", b"close"),
        *SECURITY_FIELDS,
        NO_PAGE,
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
