"""Connections on a socket: heads that stall, framing, pipelines, and clients that do not read."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import uvicorn

from serve.http.connection import ABORT
from serve.http.limits import Limits
from serve.http.listener import listen
from serve.http.registry import Connections
from serve.http.server import protocol_of

TIMEOUT_S = 20  # a broken server fails a test after this instead of hanging it
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
HELD = b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n"
BODY = b"hello world"
LENGTH = b"Content-Length: 11\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"b\r\nhello world\r\n0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Running:
    """A server of the application below."""

    port: int
    connections: Connections
    loop: asyncio.AbstractEventLoop
    release: asyncio.Event  # lets the requests to /held go on

    def connect(self, timeout_s: float = TIMEOUT_S) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s)

    def call(self, function: Callable[[], Any]) -> Any:
        """Return what a function returns on the event loop."""

        async def run() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(60)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds on the event loop."""
        end_s = time.monotonic() + TIMEOUT_S
        while not self.call(condition):
            assert time.monotonic() < end_s, self.call(self.connections.phases)
            time.sleep(0.01)


def open_count(server: Running) -> int:
    """Return the number of open connections."""
    return sum(server.connections.phases().values())


async def application(scope: Any, receive: Any, send: Any, release: asyncio.Event) -> None:
    """Answer with the head and the size of the body; /refuse reads none, /big answers a lot.

    /some answers 10 kB, /held waits to be released, /work does so when it has the body.
    """
    path = scope["path"]
    size, more = 0, path not in ("/refuse", "/abort")
    if path == "/held":
        await release.wait()
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size, more = size + len(message["body"]), message["more_body"]
    if path == "/work":
        await release.wait()
    if path == "/abort":
        scope["extensions"][ABORT]["abort"]()
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    body = json.dumps({"path": path, "bytes": size, "headers": headers}).encode()
    body = b"x" * 8 * 2**20 if path == "/big" else body
    body = b"x" * 10_000 if path == "/some" else body
    length = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    for first in range(0, len(body), 65536):
        piece = body[first : first + 65536]
        more = first + 65536 < len(body)
        await send({"type": "http.response.body", "body": piece, "more_body": more})


@contextmanager
def serving(limits: Limits) -> Iterator[Running]:
    """Serve the application until the block ends."""
    connections = Connections(limits)
    listener = listen("127.0.0.1", 0)
    release = asyncio.Event()
    config = uvicorn.Config(
        partial(application, release=release),
        interface="asgi3",
        http=protocol_of(connections),
        ws="none",
        lifespan="off",
        log_config=None,
    )
    server = uvicorn.Server(config)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(server.serve([listener])))
    thread.start()
    try:
        while not server.started:
            time.sleep(0.005)
        yield Running(listener.getsockname()[1], connections, loop, release)
    finally:
        loop.call_soon_threadsafe(connections.abort)
        loop.call_soon_threadsafe(release.set)
        server.should_exit = True
        thread.join()
        loop.close()


Serving = Callable[..., Running]


@pytest.fixture
def start() -> Iterator[Serving]:
    """Return a function that starts a server with limits."""
    with ExitStack() as stack:
        yield lambda **limits: stack.enter_context(serving(Limits(**limits)))


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """Return a server with the default limits."""
    with serving(Limits()) as server:
        yield server


def until_closed(connection: socket.socket, *, pause_s: float = 0, size: int = 65536) -> int:
    """Return the number of bytes that the server sends before it closes the connection."""
    total = 0
    while data := connection.recv(size):
        total += len(data)
        time.sleep(pause_s)
    return total


def answer(connection: socket.socket) -> tuple[int, dict[str, str], Any]:
    """Return status, headers and JSON of one answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(1)
        assert part, data
        data += part
    lines = data.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    body = b""
    while missing := int(headers.get("content-length", 0)) - len(body):
        body += connection.recv(missing)
    return int(lines[0].split()[1]), headers, json.loads(body) if body else None


def ask(server: Running, request: bytes) -> tuple[int, dict[str, str], Any]:
    """Return the answer to one request on a connection of its own."""
    with server.connect() as connection:
        connection.sendall(request)
        return answer(connection)


@pytest.mark.parametrize("head", [b"", b"POST", b"\r\n", POST + LENGTH])
def test_a_head_that_stalls_closes_the_connection(start: Serving, head: bytes) -> None:
    server = start(timeout_s=0.4)
    with server.connect() as connection:
        connection.sendall(head)
        assert connection.recv(100) == b""


def test_a_second_head_that_stalls_closes_the_connection(start: Serving) -> None:
    server = start(timeout_s=0.4)
    with server.connect() as connection:
        connection.sendall(GET + b"GET")
        assert answer(connection)[0] == 200
        assert connection.recv(100) == b""


def test_an_idle_connection_outlives_the_deadline_of_a_head(start: Serving) -> None:
    server = start(timeout_s=0.3, keep_alive_s=60)
    with server.connect() as connection:
        for _ in range(2):
            connection.sendall(GET)
            assert answer(connection)[0] == 200
            time.sleep(0.7)
        connection.sendall(b"\r\n")  # is no request, and so begins no deadline
        time.sleep(0.7)
        connection.sendall(GET)
        assert answer(connection)[0] == 200


def test_an_idle_connection_is_closed_after_its_time_whatever_empty_lines_come(
    start: Serving,
) -> None:
    server = start(timeout_s=60, keep_alive_s=0.5)
    with server.connect() as connection:
        connection.sendall(GET)
        assert answer(connection)[0] == 200
        connection.sendall(b"\r\n")
        assert connection.recv(100) == b""


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (POST + b"".join(b"X-%d: a\r\n" % n for n in range(90)) + b"\r\n", 200),
        (POST + b"".join(b"X-%d: a\r\n" % n for n in range(100)) + b"\r\n", 431),
        (POST + b"X: " + b"a" * 65000 + b"\r\n\r\n", 200),
        (POST + b"X: " + b"a" * 66000, 431),
        (POST + b"X: " + b"a" * 66000 + b"\r\n\r\n", 431),
        (POST + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 1000) for n in range(70)) + b"\r\n", 431),
        (POST + b"a" * 66000, 431),
        (b"GET /" + b"a" * 66000, 431),
        (b"\r\n" * 33000, 400),
        (POST + CHUNKED + b"\r\n1;" + b"a" * 66000, 431),
        (POST + CHUNKED + b"\r\n" + (b"1;" + b"a" * 1000 + b"\r\na\r\n") * 66, 431),
        (POST + CHUNKED + b"\r\n" + b"1\r\na\r\n" * 100_000 + b"0\r\n\r\n", 200),
        (POST + CHUNKED + b"\r\n" + b"1\r\na\r\n" * 200_000 + b"0\r\n\r\n", 431),
        (POST + CHUNKED + b"\r\n" + (b"2000\r\n" + b"a" * 8192 + b"\r\n") * 20 + CHUNKS, 200),
        (POST + CHUNKED + b"\r\n0\r\n" + b"X: a\r\n" * 101, 431),
        (POST + CHUNKED + b"\r\n0\r\nX: " + b"a" * 66000, 431),
    ],
)
def test_what_is_no_body_is_counted(server: Running, request_bytes: bytes, status: int) -> None:
    actual, headers, content = ask(server, request_bytes)
    assert actual == status
    if status != 200:
        assert headers["connection"] == "close"
        assert "allowed" in content["error"]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST / HTTP/1.1\r\n" + LENGTH + b"\r\n" + BODY, 400),  # no Host
        (POST + b"Expect: anything\r\n" + LENGTH + b"\r\n" + BODY, 417),
        (POST + b"Host: y\r\n" + LENGTH + b"\r\n" + BODY, 400),
        (POST + LENGTH + CHUNKED + b"\r\n" + CHUNKS, 400),
        (POST + CHUNKED + LENGTH + b"\r\n" + CHUNKS, 400),
        (POST + LENGTH + LENGTH + b"\r\n" + BODY, 400),
        (POST + b"Content-Length: +11\r\n\r\n" + BODY, 400),
        (POST + b"Content-Length: 99999999999999999999\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKS, 501),
        (POST + b"Transfer-Encoding: gzip\r\n\r\n" + BODY, 501),
        (b"POST / HTTP/1.0\r\n" + CHUNKED + b"\r\n" + CHUNKS, 400),
        (POST + CHUNKED + b"\r\nzz\r\n", 400),
        (b"GET http://x HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 505),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        (b"GET / RTSP/1.0\r\nHost: x\r\n\r\n", 400),
        (b"\r\nPLAY / RTSP/1.0\r\n\r\n", 400),
        (b"SOURCE / ICE/1.0\r\nHost: x\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n", 501),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (POST + b"X : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
    ],
)
def test_malformed_requests_are_refused_in_json(
    server: Running, request_bytes: bytes, status: int
) -> None:
    with server.connect() as connection:
        connection.sendall(request_bytes)
        actual, headers, content = answer(connection)
        assert (actual, headers["connection"]) == (status, "close")
        assert headers["content-type"] == "application/json"
        assert content["error"]
        assert connection.recv(100) == b""


@pytest.mark.parametrize(
    "request_bytes",
    [
        POST + LENGTH + b"\r\n" + BODY,
        POST + CHUNKED + b"\r\n" + CHUNKS,
        POST + LENGTH + H2C + b"\r\n" + BODY,
        POST + CHUNKED + H2C + b"\r\n" + CHUNKS,
        POST + LENGTH + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + BODY,
        b"POST / HTTP/1.0\r\nConnection: keep-alive\r\n" + LENGTH + b"\r\n" + BODY,
        b"\r\n" + POST + LENGTH + b"\r\n" + BODY,
        POST + b"Content-Length: \t 11 \t\r\n\r\n" + BODY,
        b"POST http://x/ HTTP/1.1\r\nHost: x\r\n" + LENGTH + b"\r\n" + BODY,
        b"POST / HTTP/1.0\r\nExpect: anything\r\n" + LENGTH + b"\r\n" + BODY,
    ],
)
def test_a_body_arrives_whole(server: Running, request_bytes: bytes) -> None:
    status, _, content = ask(server, request_bytes)
    assert (status, content["bytes"], content["path"]) == (200, 11, "/")


@pytest.mark.parametrize("end", [BODY, CHUNKS], ids=["length", "chunks"])
def test_after_an_upgrade_that_is_not_made_the_connection_goes_on(
    server: Running, end: bytes
) -> None:
    framing = LENGTH if end == BODY else CHUNKED
    with server.connect() as connection:
        connection.sendall(POST + framing + H2C + b"\r\n")
        time.sleep(0.05)
        connection.sendall(end)
        assert answer(connection)[2]["bytes"] == 11
        connection.sendall(b"GET /2 HTTP/1.1\r\nHost: x\r\n" + H2C + b"\r\n")
        assert answer(connection)[2] == {
            "path": "/2",
            "bytes": 0,
            "headers": {
                "host": "x",
                "connection": "Upgrade, HTTP2-Settings",
                "upgrade": "h2c",
                "http2-settings": "AAMAAABk",
            },
        }


def test_a_field_has_no_blanks_around_its_value(server: Running) -> None:
    head = b"GET / HTTP/1.1\r\nHost: x\r\nX-Field: \t a b \t\r\n\r\n"
    assert ask(server, head)[2]["headers"]["x-field"] == "a b"


def test_expect_100_continue_is_answered_when_the_application_reads(server: Running) -> None:
    with server.connect() as connection:
        connection.sendall(POST + LENGTH + b"Expect: 100-continue\r\n\r\n")
        assert answer(connection)[0] == 100
        connection.sendall(BODY)
        assert answer(connection)[2]["bytes"] == 11
        connection.sendall(
            POST.replace(b"/", b"/refuse", 1) + LENGTH + b"Expect: 100-continue\r\n\r\n"
        )
        assert answer(connection)[0] == 200


def test_expect_100_continue_is_ignored_in_http_1_0(server: Running) -> None:
    request = b"POST / HTTP/1.0\r\nExpect: 100-continue\r\n" + LENGTH + b"\r\n" + BODY
    assert ask(server, request)[0] == 200


def test_trailers_are_no_headers(server: Running) -> None:
    chunks = CHUNKS[:-2] + b"Content-Type: image/png\r\n\r\n"
    _, _, content = ask(server, POST + CHUNKED + b"\r\n" + chunks)
    assert set(content["headers"]) == {"host", "transfer-encoding"}


def test_trailers_do_not_end_the_connection(server: Running) -> None:
    # a proxy shares its connections: the next request may be another client's
    chunks = CHUNKS[:-2] + b"Connection: close\r\n\r\n"
    with server.connect() as connection:
        for _ in range(2):
            connection.sendall(POST + CHUNKED + b"\r\n" + chunks + GET)
            assert answer(connection)[2]["bytes"] == len(BODY)
            assert answer(connection)[0] == 200


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_pipelined_requests_are_answered_in_order_however_they_arrive(
    server: Running, size: int
) -> None:
    requests = [
        b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /2 HTTP/1.1\r\nHost: x\r\n" + CHUNKED + b"\r\n" + CHUNKS,
        b"POST /3 HTTP/1.1\r\nHost: x\r\n" + LENGTH + b"\r\n" + BODY,
        b"POST /4 HTTP/1.1\r\nHost: x\r\n" + CHUNKED + b"\r\n4\r\n\r\n\r\n\r\n0\r\nA: b\r\n\r\n",
        b"GET /5 HTTP/1.1\r\nHost: x\r\n\r\n",
    ]
    data = b"".join(requests)
    with server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for first in range(0, len(data), size):
            connection.sendall(data[first : first + size])
        contents = [answer(connection)[2] for _ in requests]
    assert [content["path"] for content in contents] == ["/1", "/2", "/3", "/4", "/5"]
    assert [content["bytes"] for content in contents] == [0, 11, 11, 4, 0]


def test_one_request_of_a_connection_is_in_the_application_at_a_time(start: Serving) -> None:
    server, limits = start(), Limits()
    with server.connect() as connection, server.connect() as other:
        connection.sendall(HELD + GET * 100_000)
        server.until(lambda: server.connections.unread_bytes > 100)
        other.sendall(GET)
        assert answer(other)[0] == 200
        assert 100 < server.call(lambda: server.connections.unread_bytes) <= 2 * limits.read_bytes


def test_a_body_waits_outside_until_the_application_asks(start: Serving) -> None:
    server = start()
    with server.connect() as connection:
        head = b"POST /held HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n"
        sender = threading.Thread(target=connection.sendall, args=(head + b"a" * 8_000_000,))
        sender.start()
        server.until(lambda: server.connections.unread_bytes > 0)
        time.sleep(0.3)
        unread = server.call(lambda: server.connections.unread_bytes)
        limits = Limits()
        assert 0 < unread <= 2 * limits.read_bytes + limits.unread_body_bytes
        server.call(server.release.set)
        assert answer(connection)[2]["bytes"] == 8_000_000
        sender.join()


def test_a_client_that_leaves_is_seen_though_the_end_of_its_body_was_large(start: Serving) -> None:
    server = start(unread_body_bytes=1000)
    head = b"POST /work HTTP/1.1\r\nHost: x\r\nContent-Length: 5001\r\n\r\n"
    sent_bytes = len(head) + 5001

    def is_taken(size_bytes: int) -> bool:
        connections = server.connections
        return connections.received_bytes == size_bytes and not connections.unread_bytes

    with server.connect() as connection:
        connection.sendall(head + b"x")
        server.until(lambda: is_taken(len(head) + 1))  # the application waits for the rest
        connection.sendall(bytes(5000))
        server.until(lambda: is_taken(sent_bytes))
        assert open_count(server) == 1
    server.until(lambda: open_count(server) == 0)


def test_the_rest_of_a_refused_body_is_discarded(server: Running) -> None:
    request = POST.replace(b"/", b"/refuse", 1) + b"Content-Length: 1000000\r\n\r\n"
    with server.connect() as connection:
        connection.sendall(request)
        assert answer(connection)[0] == 200
        connection.sendall(b"a" * 1_000_000 + GET)
        assert answer(connection)[2]["path"] == "/"


def test_a_refused_body_that_is_too_long_or_stalls_closes_the_connection(start: Serving) -> None:
    server = start(timeout_s=0.4, discard_bytes=100_000)
    request = POST.replace(b"/", b"/refuse", 1) + b"Content-Length: 10000000\r\n\r\n"
    with server.connect() as connection:
        connection.sendall(request)
        assert answer(connection)[0] == 200
        assert connection.recv(100) == b""
    with server.connect() as connection:
        connection.sendall(request)
        with pytest.raises(ConnectionError):
            connection.sendall(b"a" * 10_000_000)


def test_a_malformed_chunk_tells_the_application_that_the_client_is_gone(server: Running) -> None:
    status, _, content = ask(server, POST + CHUNKED + b"\r\nb\r\n" + BODY + b"\r\nzz\r\n")
    assert status == 400
    assert "chunk size" in content["error"]


@pytest.mark.parametrize("close", [b"", b"Connection: close\r\n"])
def test_a_client_that_reads_nothing_is_reset(start: Serving, close: bytes) -> None:
    server = start(timeout_s=0.4)
    with server.connect() as connection:
        connection.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n" + close + b"\r\n")
        server.until(lambda: server.connections.unwritten_bytes > 0)
        server.until(lambda: server.connections.in_progress == 0)
        with pytest.raises(ConnectionError):
            until_closed(connection)


def test_a_client_that_takes_too_little_is_reset(start: Serving) -> None:
    server = start(timeout_s=0.3, answer_bytes_per_s=100_000_000)
    with server.connect() as connection:
        connection.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(ConnectionError):
            until_closed(connection, pause_s=0.02)


def test_a_slow_client_that_reads_is_served(start: Serving) -> None:
    server = start(timeout_s=1, answer_bytes_per_s=1)
    with server.connect() as connection:
        connection.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert until_closed(connection, pause_s=0.06, size=262144) > 8 * 2**20


def test_what_is_unwritten_is_bounded_for_all_clients(start: Serving) -> None:
    server = start(timeout_s=60, linger_s=0.4, unread_answer_bytes=300_000)
    with ExitStack() as stack:
        for _ in range(8):
            connection = stack.enter_context(server.connect())
            connection.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        server.until(lambda: server.connections.opened == 8 > open_count(server))
        server.until(lambda: server.connections.unwritten_bytes <= 300_000)
        assert ask(server, GET)[0] == 200


def test_unfinished_heads_are_bounded_for_all_clients(start: Serving) -> None:
    server = start(timeout_s=60, linger_s=0.4, unfinished_head_bytes=300_000)
    with ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(8)]
        for connection in clients:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 60_000)
        server.until(lambda: server.connections.opened == 8)
        server.until(lambda: 200_000 < server.connections.unread_bytes <= 300_000)
        with pytest.raises(ConnectionError):
            until_closed(clients[0])
        clients[-1].sendall(b"\r\n\r\n")
        assert answer(clients[-1])[0] == 200


def test_the_oldest_idle_connections_make_room(
    start: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    server = start(connections=20)
    with ExitStack() as stack:
        busy = stack.enter_context(server.connect())
        busy.sendall(HELD)
        server.until(lambda: server.connections.in_progress == 1)
        idle = [stack.enter_context(server.connect()) for _ in range(40)]
        assert ask(server, GET)[0] == 200
        server.call(server.release.set)
        assert answer(busy)[0] == 200
        idle[-1].sendall(GET)
        assert answer(idle[-1])[0] == 200
        assert until_closed(idle[0]) == 0
    assert caplog.text.count("the oldest idle ones are closed") == 1


def test_clients_that_do_not_read_make_room_too(start: Serving) -> None:
    server = start(connections=4, timeout_s=60)
    with ExitStack() as stack:
        clients = []
        for _ in range(12):
            silent = stack.enter_context(socket.socket())
            silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
            silent.connect(("127.0.0.1", server.port))
            # every answer is written, and the last ones are more than the kernel keeps
            silent.sendall(b"GET /some HTTP/1.1\r\nHost: x\r\n\r\n" * 12)
            clients.append(silent)
            time.sleep(0.05)
        assert ask(server, GET)[0] == 200
        with pytest.raises(ConnectionError):  # it does not wait for this client to read
            until_closed(clients[0])


def test_clients_that_do_not_close_make_room_too(start: Serving) -> None:
    server = start(connections=4, linger_s=60)
    with ExitStack() as stack:
        for _ in range(12):
            connection = stack.enter_context(server.connect())
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert answer(connection)[0] == 200
            time.sleep(0.1)  # until the kernel knows that the client has everything
        assert ask(server, GET)[0] == 200


def test_a_connection_too_many_is_told_when_to_come_again(start: Serving) -> None:
    server = start(connections=2)
    with ExitStack() as stack:
        for _ in range(2):
            busy = stack.enter_context(server.connect())
            busy.sendall(HELD)
        server.until(lambda: server.connections.in_progress == 2)
        other = stack.enter_context(server.connect())
        status, headers, content = answer(other)
        assert (status, headers["retry-after"]) == (503, "1")
        assert content == {"error": "2 requests are in progress; allowed: 2"}
        assert other.recv(1) == b""
        server.call(server.release.set)
        assert answer(busy)[0] == 200


def test_draining_answers_and_closes(server: Running, start: Serving) -> None:
    server = start()
    with server.connect() as busy, server.connect() as idle:
        idle.sendall(GET)
        assert answer(idle)[1].get("connection") is None
        busy.sendall(HELD)
        server.until(lambda: server.connections.in_progress == 1)
        server.call(server.connections.drain)
        server.call(server.release.set)
        idle.sendall(GET)  # in the time of grace
        for connection in (busy, idle):
            assert answer(connection)[1]["connection"] == "close"
            assert connection.recv(100) == b""
        assert server.call(lambda: server.connections.in_progress) == 2  # until the clients close
    with server.connect() as connection:
        server.until(lambda: server.connections.phases()["head"] == 1)
        assert server.call(lambda: server.connections.in_progress) == 0
        server.call(server.connections.close_idle)
        assert connection.recv(100) == b""


def test_the_application_can_reset_a_connection(server: Running) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /abort HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(ConnectionError):
            until_closed(connection)
