"""Ask the other workers of this server, each on a Unix socket of its own."""

import asyncio
import http.client
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from zlib import crc32

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from runtime.errors import UnavailableError

TIMEOUT_S = 30.0  # for an answer: a worker may load a model first
EXTENSION = "slipway.sibling"  # in the scope of a request that another worker sent
_CLIENT, _ROOT = "X-Slipway-Client", "X-Slipway-Root"  # the client's address; the path of the proxy
# of the connection, or what this worker says itself
_NOT_PASSED = frozenset(
    b"connection content-security-policy content-length cross-origin-resource-policy date expect "
    b"keep-alive referrer-policy server transfer-encoding x-content-type-options x-forwarded-for "
    b"x-forwarded-prefix x-forwarded-proto x-request-id x-slipway-client x-slipway-root".split()
)


@dataclass(frozen=True, slots=True)
class Siblings:
    """The workers of this server, as one of them sees them."""

    own: int = 0
    addresses: tuple[bytes, ...] = (b"",)  # of the Unix sockets, by worker

    @property
    def others(self) -> tuple[int, ...]:
        """Return the numbers of the other workers."""
        return tuple(number for number in range(len(self.addresses)) if number != self.own)

    def keeper_of(self, key: str) -> int:
        """Return the worker that alone has all that belongs to a key."""
        return crc32(key.encode()) % len(self.addresses)

    async def ask(self, worker: int, request: Request[Any], body: bytes = b"") -> Response:
        """Return the answer of another worker to a request of this one's client.

        Raises:
            UnavailableError: it does not answer.
        """
        scope = request.scope
        query = scope["query_string"].decode("latin-1")
        target = quote(scope["path"]) + (f"?{query}" if query else "")
        headers = {
            **_passed(scope["headers"]),
            _CLIENT: scope["client"][0] if scope.get("client") else "",
            _ROOT: scope.get("root_path", ""),
        }
        return await run_in_threadpool(
            _exchange, self.addresses[worker], scope["method"], target, headers, body
        )

    async def ask_others(self, request: Request[Any]) -> list[Response]:
        """Return the answers of all other workers to a request without a body.

        Raises:
            UnavailableError: one does not answer.
        """
        return await asyncio.gather(*(self.ask(worker, request) for worker in self.others))


class FromSiblings:
    """ASGI middleware: a request that another worker passed on is that of its client."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; of those on the Unix socket, take the client from its fields."""
        # `client` is None too where a client of the port reset its connection before it was
        # accepted; the address of the Unix socket is bytes, which ASGI has no form for
        if scope["type"] == "http" and scope.get("client") is None and not scope.get("server"):
            fields = dict(scope["headers"])
            scope["client"] = (fields.get(_CLIENT.lower().encode(), b"").decode("latin-1"), 0)
            scope["root_path"] = fields.get(_ROOT.lower().encode(), b"").decode("latin-1")
            scope["extensions"] = {**scope.get("extensions", {}), EXTENSION: {}}
        await self.app(scope, receive, send)


def is_passed_on(request: Request[Any]) -> bool:
    """Return whether another worker sent a request, which this one shall answer itself."""
    return EXTENSION in request.scope.get("extensions", {})


class _Connection(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, address: bytes) -> None:
        super().__init__("worker", timeout=TIMEOUT_S)
        self._address = address

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._address)


def _exchange(
    address: bytes, method: str, target: str, headers: Mapping[str, str], body: bytes
) -> Response:
    connection = _Connection(address)
    try:
        connection.request(method, target, body or None, {**headers, "Connection": "close"})
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise UnavailableError(
            "another process of the server has what is asked for, and does not answer; try again "
            "later"
        ) from error
    finally:
        connection.close()
    fields = (
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.getheaders()
    )
    return Response(content, answer.status, _passed(fields))


def _passed(fields: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in fields
        if name.lower() not in _NOT_PASSED
    }
