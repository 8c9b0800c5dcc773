"""An HTTP/1 client on a raw socket, which sends what no library would send."""

import json
import select
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

HOST = "127.0.0.1"
TIMEOUT_S = 30.0
LIVE = "/v2/health/live"
_BLOCK = 65536
_IP_BIND_ADDRESS_NO_PORT = 24  # Linux; the module socket does not name it


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    version: str
    headers: Mapping[str, str]  # by lower-case name
    body: bytes

    def json(self) -> Any:
        """Return the body parsed."""
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """Return the sentence of an error; "" if the body is not {"error": "..."}."""
        try:
            content = self.json()
        except ValueError:
            return ""
        error = content.get("error") if isinstance(content, dict) else None
        return error if isinstance(error, str) else ""


class Client:
    """A connection to the server."""

    def __init__(
        self,
        port: int,
        *,
        timeout_s: float = TIMEOUT_S,
        receive_bytes: int | None = None,
        source: str = HOST,
    ) -> None:
        """Connect.

        Args:
            port: of the server on 127.0.0.1.
            timeout_s: for each read and write.
            receive_bytes: size of the kernel's receive buffer; None for its default.
            source: the client's address, any of 127.0.0.0/8.
        """
        self.socket = socket.socket()
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(timeout_s)
        self._buffer = b""
        try:
            if source != HOST:  # the kernel picks the port when it connects
                self.socket.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
                self.socket.bind((source, 0))
            self.socket.connect((HOST, port))
        except OSError:
            self.socket.close()
            raise

    def send(self, data: bytes) -> None:
        """Send all of the data."""
        self.socket.sendall(data)

    def send_until_refused(self, pieces: Iterable[bytes]) -> int:
        """Send pieces until the server answers, closes or resets; return the bytes sent."""
        count = 0
        self.socket.setblocking(False)
        try:
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    readable, writable, _ = select.select(
                        [self.socket], [self.socket], [], TIMEOUT_S
                    )
                    if readable or not writable:
                        return count
                    size = self.socket.send(view)
                    count += size
                    view = view[size:]
        except (ConnectionError, BlockingIOError):
            return count
        finally:
            self.socket.settimeout(TIMEOUT_S)
        return count

    def answer(self, *, head_only: bool = False) -> Answer | None:
        """Return the next answer, interim ones skipped; None if the server closes before its end.

        Args:
            head_only: the answer has no body, as that to HEAD.
        """
        while True:
            head = self._until(b"\r\n\r\n")
            if head is None:
                return None
            first, *lines = head.decode("latin-1").split("\r\n")
            version, status, *_ = first.split(" ")
            pairs = (line.partition(":") for line in lines if line)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            if status != "100":
                break
        body = b"" if head_only else self._body(headers)
        return None if body is None else Answer(int(status), version, headers, body)

    def interim(self) -> str:
        """Return the next status line, for example that of 100 Continue; "" at the end."""
        head = self._until(b"\r\n\r\n")
        return "" if head is None else head.decode("latin-1").split("\r\n")[0]

    def is_closed_within(self, seconds: float) -> bool:
        """Return whether the server closes or resets within some seconds; drop what it sends."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                if not self.socket.recv(_BLOCK):
                    return True
            except TimeoutError:
                return False
            except ConnectionError:
                return True
        return False

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()

    def _body(self, headers: Mapping[str, str]) -> bytes | None:
        if headers.get("transfer-encoding") == "chunked":
            return self._chunks()
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"]))
        while data := self._receive():
            self._buffer += data
        body, self._buffer = self._buffer, b""
        return body

    def _chunks(self) -> bytes | None:
        parts: list[bytes] = []
        while True:
            line = self._until(b"\r\n")
            size = None if line is None else int(line.split(b";")[0], 16)
            part = None if size is None else self._exactly(size + 2)
            if part is None:
                return None
            if size == 0:
                return b"".join(parts)
            parts.append(part[:-2])

    def _until(self, mark: bytes) -> bytes | None:
        while mark not in self._buffer:
            data = self._receive()
            if not data:
                return None
            self._buffer += data
        part, _, self._buffer = self._buffer.partition(mark)
        return part

    def _exactly(self, count: int) -> bytes | None:
        parts, size = [self._buffer], len(self._buffer)
        while size < count:
            data = self._receive()
            if not data:
                return None
            parts.append(data)
            size += len(data)
        joined = b"".join(parts)
        self._buffer = joined[count:]
        return joined[:count]

    def _receive(self) -> bytes:
        try:
            return self.socket.recv(_BLOCK)
        except ConnectionError:
            return b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def head(method: str, path: str, *fields: str, version: str = "1.1", host: bool = True) -> bytes:
    """Return the head of a request; `fields` are lines, "Name: value"."""
    lines = [f"{method} {path} HTTP/{version}", *(["Host: x"] if host else []), *fields]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")


def post(path: str, body: bytes, *fields: str, version: str = "1.1") -> bytes:
    """Return a POST with its body and Content-Length."""
    return head("POST", path, f"Content-Length: {len(body)}", *fields, version=version) + body


def ask(
    port: int, request: bytes, *, timeout_s: float = TIMEOUT_S, source: str = HOST
) -> Answer | None:
    """Send a request on a connection of its own and return the answer."""
    with Client(port, timeout_s=timeout_s, source=source) as client:
        # after an early refusal the answer may have arrived
        with suppress(ConnectionError):
            client.send(request)
        return client.answer()


def get(port: int, path: str) -> Answer | None:
    """GET a path on a connection of its own."""
    return ask(port, head("GET", path))
