"""Heads, trailers and chunk extensions are at most 64 kB and 100 fields."""

from collections.abc import Callable, Iterator

import pytest

from tests.serve.troubles.conftest import Starter
from tests.serve.troubles.support.growth import trouble
from tests.serve.troubles.support.scale import Scale
from tests.serve.troubles.support.table import Figures
from tests.serve.troubles.support.wire import LIVE, Client, head

GROWTH_MB = 8
BLOCK = 65536
CHUNKED = head("POST", "/v1/models/face_emotion_xception", "Transfer-Encoding: chunked")
OPEN_HEAD = head("GET", LIVE)[:-2]  # without the empty line that ends it

Pieces = Callable[[int], Iterator[bytes]]


def one_field(size: int) -> Iterator[bytes]:
    """Yield a head with one field of `size` bytes that does not end."""
    yield OPEN_HEAD + b"X-Long: "
    yield from (b"a" * BLOCK for _ in range(size // BLOCK))


def one_name(size: int) -> Iterator[bytes]:
    """Yield a head with the name of a field of `size` bytes."""
    yield OPEN_HEAD
    yield from (b"a" * BLOCK for _ in range(size // BLOCK))


def many_fields(size: int) -> Iterator[bytes]:
    """Yield a head with fields of a few bytes each."""
    yield OPEN_HEAD
    for start in range(0, size, BLOCK):
        yield b"".join(b"X-%d: 1\r\n" % (start + index) for index in range(BLOCK // 12))


def path(size: int) -> Iterator[bytes]:
    """Yield a request line of `size` bytes."""
    yield b"GET /v2/health/live?"
    yield from (b"a" * BLOCK for _ in range(size // BLOCK))


def method(size: int) -> Iterator[bytes]:
    """Yield a method of `size` bytes."""
    yield from (b"A" * BLOCK for _ in range(size // BLOCK))


def empty_lines(size: int) -> Iterator[bytes]:
    """Yield empty lines in place of a request."""
    yield from (b"\r\n" * (BLOCK // 2) for _ in range(size // BLOCK))


def trailers(size: int) -> Iterator[bytes]:
    """Yield a body of one byte, and trailers of `size` bytes."""
    yield CHUNKED + b"1\r\na\r\n0\r\n"
    for start in range(0, size, BLOCK):
        yield b"".join(b"X-%d: 1\r\n" % (start + index) for index in range(BLOCK // 12))


def chunk_extensions(size: int) -> Iterator[bytes]:
    """Yield a chunk with an extension of `size` bytes."""
    yield CHUNKED + b"1;name="
    yield from (b"a" * BLOCK for _ in range(size // BLOCK))


def many_chunk_extensions(size: int) -> Iterator[bytes]:
    """Yield chunks of one byte, each with an extension of a kilobyte."""
    yield CHUNKED
    chunk = b"1;name=" + b"a" * 1000 + b"\r\na\r\n"
    yield from (chunk * (BLOCK // len(chunk)) for _ in range(size // BLOCK))


def attack(port: int, pieces: Iterator[bytes]) -> tuple[int | str, int]:
    """Return the status of the answer to a request that never ends, and the bytes sent until then.

    In place of a status: "reset", because the kernel drops an answer after which more data
    arrives; "no answer", if the server waits for more.
    """
    with Client(port, timeout_s=3) as client:
        size = client.send_until_refused(pieces)
        client.socket.settimeout(3)
        try:
            answer = client.answer()
        except TimeoutError:
            return "no answer", size
        return "reset" if answer is None else answer.status, size


@pytest.mark.parametrize(
    "pieces",
    [one_field, one_name, many_fields, path, method, trailers, chunk_extensions,
     many_chunk_extensions],
    ids=lambda pieces: pieces.__name__,
)  # fmt: skip
def test_without_end(start: Starter, scale: Scale, figures: Figures, pieces: Pieces) -> None:
    server = start()
    with trouble(server, figures, growth_mb=GROWTH_MB):
        status, size = attack(server.port, pieces(scale.flood_bytes))
    figures.one_of("refused with", status, (431, 414, 400, 501, "reset"))
    figures.equal("refused before all was sent", size < scale.flood_bytes, True)


def test_empty_lines_without_end(start: Starter, scale: Scale, figures: Figures) -> None:
    server = start()
    with trouble(server, figures, growth_mb=GROWTH_MB):
        attack_growth = attack_quietly(server.port, empty_lines(scale.flood_bytes))
    figures.equal("answered", attack_growth, None)


def attack_quietly(port: int, pieces: Iterator[bytes]) -> int | None:
    """Return the status of an answer to bytes that are no request; None: silence or the end."""
    with Client(port, timeout_s=1) as client:
        client.send_until_refused(pieces)
        client.socket.settimeout(1)
        try:
            answer = client.answer()
        except TimeoutError:
            return None
        return None if answer is None or answer.status == 400 else answer.status


def test_the_limits(start: Starter, figures: Figures) -> None:
    server = start()
    for name, fields, status in (
        ("90 fields", [f"X-{index}: 1" for index in range(90)], 200),
        ("110 fields", [f"X-{index}: 1" for index in range(110)], 431),
        ("60 kB", ["X-Long: " + "a" * 60_000], 200),
        ("70 kB", ["X-Long: " + "a" * 70_000], 431),
        ("50 x 1 kB", [f"X-{index}: " + "a" * 1000 for index in range(50)], 200),
        ("80 x 1 kB", [f"X-{index}: " + "a" * 1000 for index in range(80)], 431),
    ):
        with Client(server.port) as client:
            client.send_until_refused([head("GET", LIVE, *fields)])
            answer = client.answer()
        figures.equal(name, answer and answer.status, status)
        if status != 200:
            figures.equal(f"{name}, JSON error", answer is not None and bool(answer.error), True)
    figures.equal("others answered", server.answers(), True)
