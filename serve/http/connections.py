"""Connections that nobody can hold open for nothing: uvicorn gives a head no deadline."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

BUSY_CONNECTIONS = 512  # from here on requests are answered 503 (uvicorn's limit_concurrency)
MAX_CONNECTIONS = 2 * BUSY_CONNECTIONS  # one more is closed at once; each is a file descriptor


class BoundedProtocol(HttpToolsProtocol):
    """A connection whose client must send the head of a request within the setting TIMEOUT.

    The body's deadline is that of `serve.http.body.received`; what a client still sends after it
    was refused has the same time.
    """

    deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Count it; the head is awaited from now on."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
        else:
            self._start_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._end_deadline()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """The first byte of a request, maybe a later one of this connection."""
        super().on_message_begin()
        if self.deadline is None:
            self._start_deadline()

    def on_headers_complete(self) -> None:
        """The head is there in time."""
        self._end_deadline()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Answered; a body that was refused half way may still be arriving."""
        super().on_response_complete()
        if self.cycle.more_body and self.deadline is None:
            self._start_deadline()

    def _start_deadline(self) -> None:
        timeout_s = self.app_state["settings"].timeout_s
        self.deadline = self.loop.call_later(timeout_s, self.transport.close)

    def _end_deadline(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None
