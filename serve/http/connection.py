"""A connection: uvicorn's protocol for httptools, with limits in bytes and seconds.

httptools has no limit of its own and cannot be paused. So this class hands it slices that end where
a message ends, one request at a time, and counts what is no body.
"""

import asyncio
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from serve.http.framing import body_bytes, is_chunked, refuse_head
from serve.http.inbox import Inbox
from serve.http.leaving import LEAVING, Act
from serve.http.limits import Refusal
from serve.http.log.requests import REQUEST_ID_FIELD, log_refusal, new_request_id
from serve.http.overhead import Overhead
from serve.http.refusals import encode_refusal
from serve.http.registry import Connections, Phase
from serve.http.wire import Delivery, Wire

ABORT = "slipway.abort"  # the ASGI extension with a function that resets the connection
SLICE_BYTES = (512, 16384)  # of a message without Content-Length: of many chunks, of few
EVENTS = 64  # slices and chunks of one connection in one turn of the event loop


class Flow(FlowControl):
    """The flow control of a connection; reading goes on only if nothing received is left."""

    def __init__(self, transport: asyncio.Transport, connection: "Connection") -> None:
        super().__init__(transport)
        self._connection = connection

    def resume_reading(self) -> None:
        """Hand over more of the body: the application asks for it."""
        if self._connection.is_held:
            self._connection.is_held = False
            self._connection.advance()


class Connection(HttpToolsProtocol, asyncio.BufferedProtocol):
    """A connection whose requests are parsed one by one, as far as the application reads.

    `serve.http.body.receive_body` sets the deadline of a body.
    """

    def __init__(
        self,
        connections: Connections,
        *,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.limit_concurrency = None  # the registry counts
        self.registry = connections
        self.limits = connections.limits
        self.phase = Phase.HEAD
        self.since = self.loop.time()
        self.unwritten = 0
        self.is_held = False  # the body waits for the application
        self._inbox = Inbox()
        self._overhead = Overhead()  # of this message
        self._is_scheduled = False
        self._is_paused = False
        self._is_replaying = False  # a head goes to a second parser
        self._body_left = 0  # of a body with Content-Length
        self._is_chunked = False
        self._had_chunks = False  # whose trailers may have said `Connection: close` to the parser
        self._events = 0  # slices and chunks of this turn
        self._slice_bytes = SLICE_BYTES[1]
        self._discarded_bytes = 0
        self._is_lingering = False
        self._refusal: Refusal | None = None
        self._measured_bytes = 0  # written when `unwritten` was measured
        self._delivery: Delivery | None = None  # while the client has bytes to take
        self._act: Act | None = None  # when the client leaves

    @property
    def sent_bytes(self) -> int:
        """Return the bytes of the answers so far, with their heads."""
        return self.wire.written_bytes

    @property
    def has_left(self) -> bool:
        """Return whether the client left before the end of its answer, or was refused."""
        return self.cycle is not None and self.cycle.disconnected

    def on_leaving(self, act: Act | None) -> None:
        """Call a function, in place of an earlier one, when the client leaves."""
        self._act = act

    def _tell_leaving(self) -> None:
        act, self._act = self._act, None
        if act is not None and self.has_left:
            act()

    @property
    def unread(self) -> int:
        """Return the bytes received that the application has not taken."""
        if self.phase is Phase.HEAD:
            return len(self._inbox) + self._overhead.size_bytes
        body = len(self.cycle.body) if self.cycle else 0
        return len(self._inbox) + body

    # the transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Start the deadline of the first head."""
        super().connection_made(transport)
        self._transport = transport
        self.wire = Wire(transport, self._linger)
        self.transport = self.wire  # type: ignore[assignment]  # has all that is used of it
        self.flow = Flow(transport, self)
        self.registry.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application."""
        self.registry.discard(self)
        self._inbox.clear()
        super().connection_lost(exc)
        self._tell_leaving()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes go; one buffer serves all connections."""
        return self.registry.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take the bytes that arrived."""
        if self.phase is Phase.CLOSING:
            self._discard(nbytes)
            return
        self.registry.received_bytes += nbytes
        self._inbox.add(bytes(self.registry.buffer[:nbytes]))
        self.advance()

    # the stream

    def advance(self) -> None:
        """Parse what was received, as far as the limits of one turn and the application allow."""
        self._events = 0
        while self._may_parse() and self._events < EVENTS:
            self._parse_slice()
        left = not self._inbox.is_empty
        if left and self._may_parse() and not self._is_scheduled:
            self._is_scheduled = True
            self.loop.call_soon(self._next_turn)
        if self.is_held and not self._is_paused:
            # the application mostly takes the body in the next turn: pausing costs more than that
            self.loop.call_soon(self._pause_what_is_left)
        else:
            self._pause(left or self.is_held)

    def _pause_what_is_left(self) -> None:
        self._pause(not self._inbox.is_empty or self.is_held)

    def _next_turn(self) -> None:
        self._is_scheduled = False
        self.advance()

    def _may_parse(self) -> bool:
        return (
            not self._inbox.is_empty
            and not self.is_held
            and self.parser is not None
            and self.phase is not Phase.CLOSING
            and (self.phase is not Phase.REQUEST or self.cycle.more_body)
        )

    def _pause(self, paused: bool) -> None:
        if paused != self._is_paused and not self.wire.is_closing():
            self._is_paused = paused
            (self.wire.pause_reading if paused else self.wire.resume_reading)()

    def _parse_slice(self) -> None:
        events = self._events
        self._events += 1
        if self._body_left:
            data = self._inbox.take(min(self._body_left, self.limits.read_bytes))
            self._body_left -= len(data)
        else:
            data = self._inbox.take_to_end(self._slice_bytes)
            self._overhead.add(data)
        self._feed(data)
        if self.phase is Phase.CLOSING or self.parser is None:
            return
        many = self._events - events > EVENTS
        self._slice_bytes = SLICE_BYTES[0 if many else 1]
        refusal = self._overhead.refuse(self.limits)
        if refusal is not None:
            self.refuse(refusal)

    def _feed(self, data: bytes | memoryview) -> None:
        try:
            self.parser.feed_data(data)
            if self._had_chunks:
                self._had_chunks = False
                self.parser = httptools.HttpRequestParser(self)
        except httptools.HttpParserUpgrade:
            # the protocol is not changed: the body follows as HTTP/1.1
            if self._refusal is None:
                self._replay_head()
        except httptools.HttpParserError as error:
            if self._refusal is None:
                self._refusal = Refusal(400, f"malformed HTTP request: {error}")
        if self._refusal is not None:
            self.refuse(self._refusal)

    def _replay_head(self) -> None:
        """Go on with a parser that knows the framing of the body, and of no upgrade."""
        self.parser = httptools.HttpRequestParser(self)
        if not self.cycle.more_body:
            self._overhead = Overhead()
            self.cycle.message_event.set()
            return
        framing = b"".join(
            name + b": " + value + b"\r\n"
            for name, value in self.headers
            if name in (b"content-length", b"transfer-encoding")
        )
        self._is_replaying = True
        self.parser.feed_data(b"POST / HTTP/1.1\r\n" + framing + b"\r\n")
        self._is_replaying = False

    # the parser's events

    def on_message_begin(self) -> None:
        """Start the deadline of a head."""
        if self._is_replaying:
            return
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: {"abort": self.abort}, LEAVING: {"client": self}}
        self._overhead.has_begun = True
        if self.phase is not Phase.HEAD:
            self._enter(Phase.HEAD)

    def on_url(self, url: bytes) -> None:
        """Collect the target."""
        if not self._is_replaying:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a field of the head; those of the trailers are dropped (RFC 9110, 6.5.1)."""
        if self._is_replaying:
            return
        self._overhead.fields += 1
        if self.phase is Phase.HEAD:
            super().on_header(name, value.rstrip(b" \t"))  # httptools keeps it (RFC 9110, 5.5)

    def on_headers_complete(self) -> None:
        """Start the application, or refuse the head."""
        if self._is_replaying:
            return
        self._refusal = self._refuse_head()
        if self._refusal is not None:
            return
        try:
            super().on_headers_complete()
        except (httptools.HttpParserInvalidURLError, UnicodeError, AttributeError):
            self._refusal = Refusal(400, "malformed target; allowed: a path, or a URL with one")
            return
        if self.registry.draining:
            self.cycle.keep_alive = False
        if self.parser.get_http_version() == "1.0":
            self.cycle.waiting_for_100_continue = False  # RFC 9110, 10.1.1
        self._body_left = body_bytes(self.headers)
        self._is_chunked = is_chunked(self.headers)
        self.cycle.more_body = bool(self._body_left) or self._is_chunked
        self.wire.holds_head = True
        self._discarded_bytes = 0
        self._enter(Phase.REQUEST)

    def _refuse_head(self) -> Refusal | None:
        if self.parser.get_method() == b"CONNECT":
            return Refusal(501, "method CONNECT; allowed: GET and POST")
        version = self.parser.get_http_version()
        overhead = self._overhead
        return (
            overhead.refuse(self.limits)
            or overhead.refuse_protocol()
            or refuse_head(version, self.headers)
        )

    def on_chunk_header(self) -> None:
        """Count the chunk."""
        self._overhead.chunks += 1
        self._events += 1

    def on_body(self, body: bytes) -> None:
        """Collect a part of the body; hold the rest until the application asks for it."""
        cycle = self.cycle
        if self._is_chunked:
            self._overhead.size_bytes -= len(body)
            self._overhead.body_bytes += len(body)
        if cycle.response_complete:
            self._discard(len(body))
            return
        cycle.body += body
        self.is_held = len(cycle.body) > self.limits.unread_body_bytes
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """Tell the application that the body is complete; another request may follow."""
        if self._is_replaying or self._refusal is not None or self.parser.should_upgrade():
            return
        self._overhead = Overhead()
        self._had_chunks = self._is_chunked
        self.is_held = False  # who has the last part asks for none, and must hear of a client's end
        super().on_message_complete()
        if self.cycle.response_complete:
            self.cycle.more_body = False
            self._enter(Phase.IDLE)

    def on_response_complete(self) -> None:
        """Expect the next request, or the rest of a refused body."""
        self.server_state.total_requests += 1
        self.wire.flush()
        self.is_held = False
        if self.phase is Phase.CLOSING or self.wire.is_closing():
            self._enter(Phase.CLOSING)
            return
        self._enter(Phase.REST if self.cycle.more_body else Phase.IDLE)
        if not self._is_scheduled:
            self._is_scheduled = True
            self.loop.call_soon(self._next_turn)

    # the end

    def refuse(self, refusal: Refusal) -> None:
        """Answer in place of the application and close; reset an answer that has begun."""
        if self.phase is Phase.CLOSING:
            return
        phase, cycle = self.phase, self.cycle
        self._enter(Phase.CLOSING)
        if phase is Phase.REQUEST:
            cycle.disconnected = True
            cycle.message_event.set()
            self._tell_leaving()
            if cycle.response_started:
                self.abort()
                return
        self.wire.holds_head = False
        if phase is not Phase.REST:
            request_id = new_request_id()
            headers = [*self.server_state.default_headers, (REQUEST_ID_FIELD, request_id.encode())]
            self.wire.write(encode_refusal(refusal, headers))
            if phase is not Phase.REQUEST:  # else the application logs it
                self.registry.refusals[refusal.status] += 1
                log_refusal(refusal.status, request_id)
        self._linger()

    def _linger(self) -> None:
        """Close the sending half, and the other when the client has its answer.

        A close with unread bytes would reset the connection before that, and one with unwritten
        bytes would leave them to the kernel, where nobody counts them.
        """
        if self.phase is Phase.CLOSING and self._is_lingering:
            return
        self._is_lingering = True
        self.wire.flush()
        self._enter(Phase.CLOSING)
        self._inbox.clear()
        if not self.wire.is_closing():
            self._transport.write_eof()
        self._pause(False)

    def _discard(self, size_bytes: int) -> None:
        self._discarded_bytes += size_bytes
        if self._discarded_bytes > self.limits.discard_bytes:
            self.abort()

    def finish(self) -> None:
        """Answer what is in progress with `Connection: close`."""
        if self.phase is Phase.REQUEST:
            self.cycle.keep_alive = False

    def turn_away(self) -> None:
        """Answer 503 before a request came, and close: every connection has a request."""
        self._enter(Phase.CLOSING)
        limit = self.limits.connections
        busy = Refusal(503, f"{limit} requests are in progress; allowed: {limit}", retry_s=1)
        self.registry.refusals[busy.status] += 1
        self.wire.write(encode_refusal(busy, self.server_state.default_headers))
        self.close()

    def close(self) -> None:
        """Close once everything is written."""
        self._transport.close()

    def is_answered(self) -> bool:
        """Return whether the client took its last answer and only has to close."""
        return self.phase is Phase.CLOSING and not self.wire.unwritten()

    def give_way(self) -> None:
        """Close for another connection, which cannot wait for a client that does not read."""
        if self._transport.get_write_buffer_size():
            self.abort()
        else:
            self.close()

    def abort(self) -> None:
        """Reset the connection: what is not written yet is lost."""
        self.wire.reset()

    def shutdown(self) -> None:
        """Answer what is in progress, then close: uvicorn's own stop."""
        if self.phase in (Phase.REQUEST, Phase.REST):
            self.finish()
        else:
            self.close()

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self.since = self.loop.time()

    # deadlines

    def sweep(self, now: float) -> None:
        """End the connection if a deadline is over; measure what is not written."""
        if self.unwritten or self._measured_bytes != self.wire.written_bytes:
            self._measured_bytes = self.wire.written_bytes
            self.wire.flush()  # an application that begins its answer and takes time for the rest
            self.unwritten = self.wire.unwritten()
        if self._is_overdue(now - self.since):
            self.close()
        elif not self._takes_its_answer(now):
            self.abort()

    def _is_overdue(self, waited_s: float) -> bool:
        """Return whether the phase took too long."""
        limits = self.limits
        match self.phase:
            case Phase.IDLE:
                return waited_s > limits.keep_alive_s
            case Phase.HEAD | Phase.REST:
                return waited_s > limits.timeout_s
            case Phase.CLOSING:
                return waited_s > limits.linger_s and not self.unwritten
            case _:
                return False

    def _takes_its_answer(self, now: float) -> bool:
        """Return whether the client took bytes within the timeout, and at the least rate."""
        taken_bytes = self.wire.written_bytes - self.unwritten
        if not self.unwritten:
            self._delivery = None
            return True
        if self._delivery is None:
            self._delivery = Delivery.begin(taken_bytes, now)
        limits = self.limits
        return self._delivery.goes_on(
            taken_bytes, now, timeout_s=limits.timeout_s, rate=limits.answer_bytes_per_s
        )
