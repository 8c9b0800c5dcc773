"""Receive request bodies into memory, within the limits of one body and of all together."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from runtime.errors import TooLargeError
from serve.errors import OverloadedError, RequestTimeoutError, UnsupportedMediaError
from serve.text.integers import parse_integer
from serve.text.messages import repr_truncated, truncate


@dataclass(slots=True)
class Reservation:
    """The bytes of one body that are in memory so far."""

    size_bytes: int = 0


class UploadBudget:
    """A limit on the bytes of all request bodies in memory. Use it on the event loop only.

    The limit of one body does not bound them: 100 clients that send 10 MB each would take 1 GB.
    """

    def __init__(self, limit_bytes: int) -> None:
        """Allow `limit_bytes` at once."""
        self._limit_bytes = limit_bytes
        self._used_bytes = 0

    @contextmanager
    def reserve(self) -> Iterator[Reservation]:
        """Open the account of one body; its bytes are free again when the block ends."""
        reservation = Reservation()
        try:
            yield reservation
        finally:
            self._used_bytes -= reservation.size_bytes

    def grow(self, reservation: Reservation, size_bytes: int) -> None:
        """Add bytes to the account of a body.

        Raises:
            OverloadedError: the bodies now in memory leave no room for them.
        """
        if self._used_bytes + size_bytes > self._limit_bytes:
            raise OverloadedError(
                f"request bodies of {self._used_bytes} bytes are in memory; "
                f"allowed at once: {self._limit_bytes} bytes; try again later"
            )
        self._used_bytes += size_bytes
        reservation.size_bytes += size_bytes


@asynccontextmanager
async def receive_body(
    request: Request[Any], *, limit_bytes: int, timeout_s: float, budget: UploadBudget
) -> AsyncIterator[bytes]:
    """Receive the whole body; the budget counts it until the block ends.

    Args:
        request: its body is not read yet, so that a client that sent `Expect: 100-continue` gets
            the refusal before it sends the body.
        limit_bytes: of this body; checked against Content-Length, then counted.
        timeout_s: for the whole body to arrive.
        budget: shared by all requests.

    Raises:
        TooLargeError: the body, or its Content-Length, is over the limit.
        UnsupportedMediaError: it is compressed.
        RequestTimeoutError: it did not arrive in time.
        OverloadedError: too many bytes of other bodies are in memory.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().lower() != "identity":
        raise UnsupportedMediaError(
            f"Content-Encoding is {repr_truncated(encoding)}; allowed: none"
        )
    content_length = request.headers.get("content-length", "0")
    if parse_integer(content_length, 0, limit_bytes) is None:
        raise _too_large(f"{truncate(content_length)} bytes", limit_bytes)
    with budget.reserve() as reservation:
        try:
            async with asyncio.timeout(timeout_s):
                body = await _receive(request, limit_bytes, budget, reservation)
        except TimeoutError:
            raise RequestTimeoutError(
                f"{reservation.size_bytes} bytes of the request body arrived in {timeout_s} s; "
                f"allowed: {timeout_s} s for the whole body (TIMEOUT)"
            ) from None
        yield body


async def _receive(
    request: Request[Any], limit_bytes: int, budget: UploadBudget, reservation: Reservation
) -> bytes:
    chunks: list[bytes] = []
    async with aclosing(request.stream()) as stream:
        async for chunk in stream:
            if reservation.size_bytes + len(chunk) > limit_bytes:
                raise _too_large(f"more than {limit_bytes} bytes", limit_bytes)
            budget.grow(reservation, len(chunk))
            chunks.append(chunk)
    # the chunks are freed on return, or the body would be in memory twice while it is answered
    return b"".join(chunks)


def _too_large(size: str, limit_bytes: int) -> TooLargeError:
    return TooLargeError(
        f"the request body is {size}; allowed: {limit_bytes} bytes (MAX_UPLOAD_SIZE)"
    )
