"""Close connections that send no request: uvicorn sets no deadline for the head of a request."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

BUSY_CONNECTIONS = 512  # from this number on, requests get 503 (uvicorn's limit_concurrency)
MAX_CONNECTIONS = 2 * BUSY_CONNECTIONS  # one more is closed at once; each is a file descriptor


class BoundedProtocol(HttpToolsProtocol):
    """A connection whose client must send the head of a request within the setting TIMEOUT.

    `serve.http.body.receive_body` sets the deadline of the body. A client that goes on sending a
    body after the response has the same time.
    """

    deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Count the connection and start the deadline of its first head."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
        else:
            self._start_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the deadline."""
        self._end_deadline()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Start the deadline at the first byte of each further request."""
        super().on_message_begin()
        if self.deadline is None:
            self._start_deadline()

    def on_headers_complete(self) -> None:
        """End the deadline: the head arrived in time."""
        self._end_deadline()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Start a deadline for the rest of a body that was refused before its end."""
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
