"""Connections that send no request, or only a part of one."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serve.http import connections
from serve.settings import Settings
from tests.serve.conftest import Serve
from tests.support.images import solid

HEAD = b"POST /v1/face-emotion HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n"


@pytest.fixture
def impatient(artifacts: Path, serve: Serve) -> httpx.Client:
    """Return a client of a server with a timeout of one second."""
    return serve(Settings(artifacts=artifacts, max_upload_bytes=100_000, timeout_s=1))


def connect(client: httpx.Client) -> socket.socket:
    assert client.base_url.port is not None
    return socket.create_connection((client.base_url.host, client.base_url.port), timeout=4)


def until_closed(connection: socket.socket) -> bytes:
    """Return the bytes that the server sends before it closes the connection."""
    return b"".join(iter(lambda: connection.recv(4096), b""))


@pytest.mark.parametrize("head", [b"", b"POST", HEAD % 10])
def test_a_head_that_stalls_closes_the_connection(impatient: httpx.Client, head: bytes) -> None:
    with connect(impatient) as connection:
        connection.sendall(head)
        assert connection.recv(100) == b""


def test_a_second_head_that_stalls_closes_the_connection(impatient: httpx.Client) -> None:
    with connect(impatient) as connection:
        connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.sendall(b"GET")
        assert until_closed(connection).endswith(b'\r\n\r\n{"live":true}')


def test_a_refused_body_that_never_ends_closes_the_connection(impatient: httpx.Client) -> None:
    with connect(impatient) as connection:
        connection.sendall(HEAD % 200_000 + b"\r\n")
        time.sleep(0.2)  # until the response 413
        connection.sendall(b"x")  # ends uvicorn's wait for another request
        assert b"allowed: 100000 bytes" in until_closed(connection)


def test_the_deadline_is_of_each_request_not_of_the_connection(impatient: httpx.Client) -> None:
    def slowly(data: bytes) -> Iterator[bytes]:
        yield data[:10]
        time.sleep(0.7)
        yield data[10:]

    for _ in range(2):  # over the same connection
        response = impatient.post("/v1/face-emotion", content=slowly(solid(255, 255, 255)))
        assert response.status_code == 200


def test_connections_are_counted(impatient: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 2)
    with connect(impatient) as first, connect(impatient) as second, connect(impatient) as third:
        assert third.recv(100) == b""
        for connection in (first, second):
            connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
