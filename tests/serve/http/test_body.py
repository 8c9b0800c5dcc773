"""Limits of request bodies, over HTTP."""

import asyncio
import base64
import gzip
import re
import socket
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from serve.http import body, budget
from serve.settings import Settings
from tests.serve.conftest import Serve
from tests.support.images import solid

FACE = "/v1/face-emotion"
LIMIT = 100_000


@pytest.fixture
def small(artifacts: Path, serve: Serve) -> httpx.Client:
    """Return a client of a server that accepts bodies of at most LIMIT bytes."""
    return serve(Settings(artifacts=artifacts, max_upload_bytes=LIMIT))


def address(client: httpx.Client) -> tuple[str, int]:
    assert client.base_url.port is not None
    return client.base_url.host, client.base_url.port


def padded(size_bytes: int) -> bytes:
    """Return a PNG padded with zeros to a size."""
    image = solid(255, 255, 255)
    return image + b"\0" * (size_bytes - len(image))


def test_eleven_megabytes_where_ten_are_allowed(client: httpx.Client) -> None:
    response = client.post(FACE, content=padded(11 * 1024 * 1024))
    assert response.status_code == 413
    assert response.json() == {
        "error": "the request body is 11534336 bytes; allowed: 10485760 bytes (MAX_UPLOAD_SIZE)"
    }
    assert client.post(FACE, content=solid(0, 0, 0)).status_code == 200


@pytest.mark.parametrize(
    "path", [FACE, "/v1/similarity", "/v1/background", "/v2/models/tiny_slow/infer"]
)
def test_the_limit_is_exact_on_every_route(small: httpx.Client, path: str) -> None:
    assert small.post(path, content=padded(LIMIT + 1)).status_code == 413
    assert small.post(path, content=padded(LIMIT)).status_code != 413


def test_a_chunked_body_is_counted(small: httpx.Client) -> None:
    def chunks(size_bytes: int) -> Iterator[bytes]:
        data = padded(size_bytes)
        for first in range(0, size_bytes, 10_000):
            yield data[first : first + 10_000]

    assert small.post(FACE, content=chunks(LIMIT)).status_code == 200
    response = small.post(FACE, content=chunks(LIMIT + 1))
    assert response.status_code == 413
    assert response.json()["error"].startswith(f"the request body is more than {LIMIT} bytes")


def test_base64_may_be_a_third_larger(small: httpx.Client) -> None:
    def body(size_bytes: int) -> dict[str, str]:
        return {"image": base64.b64encode(padded(size_bytes)).decode()}

    assert small.post(FACE, json=body(LIMIT)).status_code == 200
    lines = re.sub("(.{76})", "\\1\r\n", body(LIMIT)["image"])
    assert small.post(FACE, json={"image": lines}).status_code == 200
    assert small.post(FACE, json=body(LIMIT + LIMIT // 16 + 4096)).status_code == 413


def test_expect_100_continue_is_answered_before_the_body(small: httpx.Client) -> None:
    image = solid(255, 255, 255)
    with socket.create_connection(address(small), timeout=20) as connection:
        connection.sendall(head(len(image)))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n")
        connection.sendall(image)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


def test_expect_100_continue_of_a_large_body_is_refused_unsent(small: httpx.Client) -> None:
    with socket.create_connection(address(small), timeout=20) as connection:
        connection.sendall(head(LIMIT + 1))
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def head(length: int) -> bytes:
    return (
        f"POST {FACE} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n"
        "Expect: 100-continue\r\n\r\n"
    ).encode()


def test_a_client_that_disconnects_affects_no_other(
    small: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection(address(small), timeout=20) as connection:
        connection.sendall(head(50_000))
        connection.recv(100)
        connection.sendall(b"x" * 100)
    # a white image takes about a second; nobody waits for the answer
    image = solid(255, 255, 255)
    with socket.create_connection(address(small), timeout=20) as connection:
        request = head(len(image)).replace(FACE.encode(), b"/v1/models/tiny_slow")
        connection.sendall(request)
        connection.recv(100)
        connection.sendall(image)
        time.sleep(0.1)
    assert small.post(FACE, content=image).status_code == 200
    assert "Exception" not in caplog.text


def test_compressed_bodies_are_refused(client: httpx.Client) -> None:
    body = gzip.compress(solid(0, 0, 0))
    for path in (FACE, "/v1/models/tiny_slow"):
        response = client.post(path, content=body, headers={"Content-Encoding": "gzip"})
        assert response.status_code == 415
        assert response.json() == {"error": "Content-Encoding is 'gzip'; allowed: none"}
    headers = {"Content-Encoding": "identity"}
    assert client.post(FACE, content=solid(0, 0, 0), headers=headers).status_code == 200


async def first_answers(
    client: httpx.Client, count: int, during: Coroutine[Any, Any, object]
) -> list[bytes]:
    """Return what uploads are answered that send all but one byte: the first, and those with it.

    Args:
        client: of the server.
        count: of the uploads.
        during: what runs when all are open.
    """
    uploads = [await open_and_send(*address(client)) for _ in range(count)]
    await during
    reads = [asyncio.create_task(reader.read(4096)) for reader, _ in uploads]
    await asyncio.wait(reads, timeout=20, return_when=asyncio.FIRST_COMPLETED)
    done, others = await asyncio.wait(reads, timeout=0.2)
    for read in others:
        read.cancel()
    for _, writer in uploads:
        writer.close()
        await writer.wait_closed()
    return [read.result() for read in done]


def test_uploads_in_memory_are_bounded_together(
    small: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight bodies of the largest size fit the budget; of nine one gets 429 if none stalls."""
    monkeypatch.setattr(budget, "STALL_S", 60)
    (answer,) = asyncio.run(first_answers(small, 9, asyncio.sleep(0)))
    assert answer.startswith(b"HTTP/1.1 429 ")
    assert b"retry-after: 1" in answer
    end_s = time.monotonic() + 20
    while small.post(FACE, content=solid(0, 0, 0)).status_code != 200:
        assert time.monotonic() < end_s  # the server learns that the eight have left


def test_uploads_that_stall_give_way(small: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "STALL_S", 0.2)
    statuses = []

    async def post_later() -> None:
        await asyncio.sleep(1.2)
        response = await asyncio.to_thread(small.post, FACE, content=padded(LIMIT))
        statuses.append(response.status_code)

    answers = asyncio.run(first_answers(small, 8, post_later()))
    (status,) = statuses
    assert status == 200
    (answer,) = answers  # one is enough
    assert answer.startswith(b"HTTP/1.1 429 ")
    assert b"others need the memory" in answer


def test_an_upload_with_too_few_bytes_in_a_time_is_ended(
    small: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "STALL_LIMIT_S", 2)

    async def scenario(size: int) -> bytes:
        reader, writer = await asyncio.open_connection(*address(small))
        image = padded(60_000)
        writer.write(f"POST {FACE} HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n".encode())
        writer.write(image[:5000])
        for first in range(5000, len(image), size):
            writer.write(image[first : first + size])
            await asyncio.sleep(0.1)
            if first > 5000 + 20 * size:
                break
        answer = await asyncio.wait_for(reader.read(4096), timeout=20)
        writer.close()
        await writer.wait_closed()
        return answer

    answer = asyncio.run(scenario(100))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"at least 4096 bytes in 2 s" in answer
    assert asyncio.run(scenario(6000)).startswith(b"HTTP/1.1 200 ")


async def open_and_send(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Announce LIMIT bytes and send all but one."""
    reader, writer = await asyncio.open_connection(host, port)
    start = f"POST {FACE} HTTP/1.1\r\nHost: x\r\nContent-Length: {LIMIT}\r\n\r\n"
    writer.write(start.encode() + b"x" * (LIMIT - 1))
    await writer.drain()
    return reader, writer


def test_a_body_that_stalls_is_answered_408_and_its_budget_freed(
    artifacts: Path, serve: Serve
) -> None:
    client = serve(Settings(artifacts=artifacts, max_upload_bytes=LIMIT, timeout_s=1))

    async def scenario() -> list[bytes]:
        stalled = [await open_and_send(*address(client)) for _ in range(8)]
        answers = [await asyncio.wait_for(reader.read(), timeout=20) for reader, _ in stalled]
        for _, writer in stalled:
            writer.close()
            await writer.wait_closed()
        return answers

    for answer in asyncio.run(scenario()):  # read() ends: the connection was closed
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert answer.endswith(
            b'{"error":"99999 bytes of the request body arrived; allowed: 1 s for the whole body '
            b'(TIMEOUT), and at least 4096 bytes in 10 s"}'
        )
    assert client.post(FACE, content=padded(LIMIT)).status_code == 200
