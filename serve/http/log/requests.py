"""Give each request an id, record it when it ends, and answer faults of the server."""

import dataclasses
import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.errors import INTERNAL, REASON, REASONS, error_response
from serve.http.leaving import has_left
from serve.http.log.handler import log_request
from serve.http.log.notes import model_of, stages_of
from serve.http.log.record import RequestRecord
from serve.http.log.trace import TRACERESPONSE_FIELD, Trace, trace_of
from serve.http.security import security_fields

REQUEST_ID = "X-Request-Id"
REQUEST_ID_FIELD = REQUEST_ID.lower().encode()
UNKNOWN = "unknown"
_ALLOWED_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_ID_BYTES = 8
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Exchange:
    """A request and its answer, as they pass between a client and the application."""

    request_id: str
    trace: Trace | None = None
    start_s: float = dataclasses.field(default_factory=time.perf_counter)
    bytes_in: int = 0
    bytes_out: int = 0
    receive_s: float = 0.0  # of waiting for parts of the body
    write_s: float = 0.0  # of handing over parts of the answer, as the client takes them
    status: int | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    is_complete: bool = False
    left: bool = False

    def receiver(self, receive: Receive) -> Receive:
        async def relay() -> Message:
            begin_s = time.perf_counter()
            message = await receive()
            if message["type"] == "http.request":
                self.receive_s += time.perf_counter() - begin_s
                self.bytes_in += len(message.get("body", b""))
            elif not self.is_complete:
                self.left = True
            return message

        return relay

    def sender(self, send: Send) -> Send:
        async def relay(message: Message) -> None:
            begin_s = time.perf_counter()
            if message["type"] == "http.response.start":
                self.status = message["status"]
                self.headers = Headers(raw=message["headers"])
                fields = [(REQUEST_ID_FIELD, self.request_id.encode())]
                if self.trace is not None:
                    fields.append((TRACERESPONSE_FIELD, self.trace.response()))
                own = message["headers"]
                message["headers"] = [*own, *security_fields(own), *fields]
            elif message["type"] == "http.response.body":
                self.bytes_out += len(message.get("body", b""))
                self.is_complete = not message.get("more_body", False)
            await send(message)
            self.write_s += time.perf_counter() - begin_s

        return relay


class RequestLog:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, end: Callable[[RequestRecord], None] = log_request) -> None:
        """Call `end` when a request ends."""
        self.app = app
        self._end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, with the id that the client sent or a new one."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        exchange = _Exchange(request_id_of(headers), trace_of(headers))
        counted_send = exchange.sender(send)
        try:
            await self.app(scope, exchange.receiver(receive), counted_send)
        except Exception as error:
            if exchange.status is not None:
                raise
            _log.error("request %s was not answered", exchange.request_id, exc_info=error)
            await error_response(INTERNAL, status=500)(scope, receive, counted_send)
        finally:
            self._end(_record_of(scope, exchange))


def request_id_of(headers: Headers) -> str:
    """Return the id of a request: the client's if it is short and plain, else a random one."""
    text = headers.get(REQUEST_ID, "")
    return text if _ALLOWED_ID.fullmatch(text) else new_request_id()


def new_request_id() -> str:
    """Return a random id."""
    return secrets.token_hex(_ID_BYTES)


def log_refusal(status: int, request_id: str) -> None:
    """Log an answer of the connection itself: the head was no request that has a route."""
    log_request(
        RequestRecord(
            time_s=time.time(),
            request_id=request_id,
            method=UNKNOWN,
            route=UNKNOWN,
            status=status,
            bytes_in=0,
            bytes_out=0,
            total_ms=0.0,
            stages_ms={},
        )
    )


def _record_of(scope: Scope, exchange: _Exchange) -> RequestRecord:
    method, headers, model = scope["method"], exchange.headers, model_of(scope)
    return RequestRecord(
        time_s=time.time(),
        request_id=exchange.request_id,
        trace=exchange.trace,
        method=method if method in _METHODS else UNKNOWN,
        route=getattr(scope.get("route"), "path", UNKNOWN),
        status=exchange.status,
        reason=scope.get(REASON) or REASONS.get(exchange.status or 0, ""),
        bytes_in=exchange.bytes_in,
        bytes_out=exchange.bytes_out,
        total_ms=1000 * (time.perf_counter() - exchange.start_s),
        stages_ms=_stages_ms(scope, exchange),
        model=headers.get("x-model") or model.id,
        version=headers.get("x-model-version") or model.version,
        left=exchange.left or (not exchange.is_complete and has_left(scope)),
    )


def _stages_ms(scope: Scope, exchange: _Exchange) -> dict[str, float]:
    """Return the milliseconds by stage of a request that computed; empty for any other."""
    stages_s = stages_of(scope)
    if not stages_s:
        return {}
    all_s = {"receive": exchange.receive_s, **stages_s, "write": exchange.write_s}
    return {name: round(1000 * seconds, 3) for name, seconds in all_s.items()}
