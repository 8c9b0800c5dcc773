"""Slices of a stream, and the heads that RFC 9112 wants refused."""

import pytest

from serve.http.framing import END, Header, body_bytes, end_of_slice, is_chunked, refuse_head
from serve.http.inbox import Inbox
from serve.http.limits import Limits
from serve.http.overhead import CHUNK_BYTES, Overhead
from serve.http.wire import Delivery

HOST: Header = (b"host", b"x")
LENGTH: Header = (b"content-length", b"7")
CHUNKED: Header = (b"transfer-encoding", b"Chunked")


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9, 100])
@pytest.mark.parametrize("limit", [1, 2, 3, 4, 6, 100])
def test_every_end_of_a_head_ends_a_slice(size: int, limit: int) -> None:
    data = b"a" + END + b"bc" + END + END + b"\r\n\rd" + END + b"e"
    inbox, slices = Inbox(), []
    for first in range(0, len(data), size):
        inbox.add(data[first : first + size])
        while inbox:
            slices.append(bytes(inbox.take_to_end(limit)))
    assert b"".join(slices) == data
    assert max(map(len, slices)) <= limit
    ends = {sum(map(len, slices[: index + 1])) for index in range(len(slices))}
    assert {5, 11, 15, 23} <= ends


def test_a_body_is_taken_by_its_length_and_is_no_start_of_an_end() -> None:
    inbox = Inbox()
    inbox.add(b"abc\r\n\r\nrest")
    assert bytes(inbox.take(6)) == b"abc\r\n\r"
    assert bytes(inbox.take_to_end(100)) == b"\nrest"
    inbox.add(b"next")
    inbox.clear()
    assert len(inbox) == 0


def test_a_slice_ends_at_its_limit() -> None:
    assert end_of_slice(b"aaaa" + END, 1, b"", 3) == 4
    assert end_of_slice(b"\naaa", 0, b"\r\n\r", 3) == 1


@pytest.mark.parametrize(
    ("version", "headers", "status"),
    [
        ("1.1", [HOST], None),
        ("1.0", [], None),
        ("1.0", [(b"expect", b"x")], None),
        ("1.1", [HOST, LENGTH, (b"expect", b"100-Continue")], None),
        ("1.1", [HOST, CHUNKED], None),
        ("0.9", [HOST], 505),
        ("2.0", [HOST], 505),
        ("1.1", [], 400),
        ("1.0", [HOST, HOST], 400),
        ("1.1", [HOST, LENGTH, LENGTH], 400),
        ("1.1", [HOST, LENGTH, CHUNKED], 400),
        ("1.0", [CHUNKED], 400),
        ("1.1", [HOST, CHUNKED, CHUNKED], 501),
        ("1.1", [HOST, (b"transfer-encoding", b"gzip, chunked")], 501),
        ("1.1", [HOST, (b"expect", b"x")], 417),
    ],
)
def test_heads_that_are_refused(version: str, headers: list[Header], status: int | None) -> None:
    refusal = refuse_head(version, headers)
    assert (refusal and refusal.status) == status


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET / HTTP/1.1\r\n", None),
        (b"GET /a-RTSP/1.0 HTTP/1.0\r\nX: a RTSP/1.0\r\n", None),
        (b"\r\n\nGET / RTSP/1.0\r\n", 400),
        (b"SOURCE / ICE/1.0\nHost: x\r\n", 400),
    ],
)
def test_a_request_line_of_another_protocol(line: bytes, status: int | None, size: int) -> None:
    overhead = Overhead()
    for first in range(0, len(line), size):
        overhead.add(memoryview(line)[first : first + size])
    refusal = overhead.refuse_protocol()
    assert (refusal and refusal.status) == status
    assert overhead.size_bytes == len(line)


def test_the_framing_of_a_body() -> None:
    assert (body_bytes([HOST, LENGTH]), body_bytes([HOST])) == (7, 0)
    assert (is_chunked([CHUNKED]), is_chunked([LENGTH])) == (True, False)


@pytest.mark.parametrize(
    ("overhead", "status"),
    [
        (Overhead(10, 2, has_begun=True), None),
        (Overhead(11, 2, has_begun=True), 431),
        (Overhead(10, 3, has_begun=True), 431),
        (Overhead(11), 400),
        (Overhead(10 + 5 * CHUNK_BYTES, chunks=5, body_bytes=5000, has_begun=True), None),
        (Overhead(11 + 5 * CHUNK_BYTES, chunks=5, body_bytes=5000, has_begun=True), 431),
        (Overhead(25, chunks=5, body_bytes=5, has_begun=True), None),
        (Overhead(26, chunks=5, body_bytes=5, has_begun=True), 431),
    ],
)
def test_what_is_no_body_is_limited(overhead: Overhead, status: int | None) -> None:
    refusal = overhead.refuse(Limits(head_bytes=10, head_fields=2, chunk_overhead_bytes=20))
    assert (refusal and refusal.status) == status


def test_a_client_takes_bytes_in_time_and_at_a_rate() -> None:
    delivery = Delivery.begin(100, 0.0)

    def goes_on(size_bytes: int, now: float) -> bool:
        return delivery.goes_on(size_bytes, now, timeout_s=10, rate=5)

    assert goes_on(100, 10.0)
    assert goes_on(101, 10.1)  # 1 byte of progress; 0.5 are owed
    assert not goes_on(101, 10.5)  # 2.5 are owed
    assert goes_on(200, 20.0)
    assert not goes_on(200, 30.1)  # no progress for longer than the timeout
