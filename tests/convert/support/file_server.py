"""A local HTTP server that misbehaves as servers and networks do, with one handler per path."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = bytes(range(256)) * 40
ETAG = '"one"'


class Exchange(BaseHTTPRequestHandler):
    """One request, answered by the server's handler of its path."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        """Answer; a client may hang up at any time."""
        self.close_connection = True
        self.server.requests.append((self.path, self.headers.get("Range")))
        handler = self.server.handlers.get(self.path, not_found)
        with suppress(ConnectionError):
            handler(self)

    def log_message(self, *_: object) -> None:
        """Print nothing: tests read `requests`."""

    def head(self, status: int = 200, **headers: str | int) -> None:
        """Send status and headers; underscores stand for hyphens."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()


Handler = Callable[[Exchange], None]


class Server(ThreadingHTTPServer):
    """A server of one test: its handlers by path, and the requests that it got."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.handlers: dict[str, Handler] = {}
        self.requests: list[tuple[str, str | None]] = []  # path, Range

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def serve(self, path: str, handler: Handler) -> str:
        """Answer a path with this handler from now on; return its address."""
        self.handlers[path] = handler
        return self.address(path)


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def not_found(exchange: Exchange) -> None:
    exchange.head(404, Content_Length=0)


@dataclass(slots=True)
class GoodFile:
    """A handler that serves a file with ranges and ETag; its fields make it worse."""

    content: bytes = CONTENT
    etag: str | None = ETAG
    ranges: bool = True
    send: int | None = None  # bytes sent before the connection ends; None: all
    announce: int | None = None  # Content-Length; None: the true one
    chunk_s: float = 0.0  # pause after each byte
    ignores_if_range: bool = False
    sends: list[int] = field(default_factory=list)  # `send` of the next answers, in turn

    def __call__(self, exchange: Exchange) -> None:
        start, headers = self._start(exchange), {"ETag": self.etag} if self.etag else {}
        body = self.content[start:]
        if start:
            last = len(self.content) - 1
            headers["Content_Range"] = f"bytes {start}-{last}/{len(self.content)}"
        length = len(body) if self.announce is None else self.announce
        exchange.head(206 if start else 200, Content_Length=length, **headers)
        self._write(exchange, body[: self.sends.pop(0) if self.sends else self.send])

    def _start(self, exchange: Exchange) -> int:
        byte_range = exchange.headers.get("Range")
        same = exchange.headers.get("If-Range") in (None, self.etag) or self.ignores_if_range
        return int(byte_range[6:-1]) if byte_range and self.ranges and same else 0

    def _write(self, exchange: Exchange, body: bytes) -> None:
        if not self.chunk_s:
            exchange.wfile.write(body)
            return
        for value in body:
            exchange.wfile.write(bytes([value]))
            time.sleep(self.chunk_s)


def status(code: int, body: bytes = b"", kind: str = "application/octet-stream") -> Handler:
    def handler(exchange: Exchange) -> None:
        exchange.head(code, Content_Length=len(body), Content_Type=kind)
        exchange.wfile.write(body)

    return handler


def redirect(location: str, code: int = 302) -> Handler:
    return lambda exchange: exchange.head(code, Location=location, Content_Length=0)


def silent(exchange: Exchange) -> None:
    """Take the request and send nothing."""
    exchange.rfile.read(1)


def stalling(exchange: Exchange) -> None:
    """Send half a file, then nothing, with the connection open."""
    exchange.head(Content_Length=len(CONTENT), ETag=ETAG)
    exchange.wfile.write(CONTENT[:5000])
    exchange.wfile.flush()
    exchange.rfile.read(1)


def dripping_headers(exchange: Exchange) -> None:
    """Send a header every 50 ms, without an end."""
    for number in range(10_000):
        exchange.wfile.write(
            f"{'HTTP/1.1 200 OK' if not number else f'X-{number}: 1'}\r\n".encode()
        )
        time.sleep(0.05)
