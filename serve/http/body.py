"""Request bodies into memory, never more of them than stated."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from runtime.errors import TooLargeError
from serve.errors import OverloadedError, RequestTimeoutError, UnsupportedMediaError
from serve.text.integers import parse_integer
from serve.text.quoting import cut, quoted


@dataclass(slots=True)
class Held:
    """How many bytes of one body are in memory by now."""

    size_bytes: int = 0


class UploadBudget:
    """Bytes of bodies in memory, of all requests together. Used on the event loop only.

    The limit of one body does not bound many of them: 100 clients that send 10 MB each would.
    """

    def __init__(self, limit_bytes: int) -> None:
        """Allow `limit_bytes` at once."""
        self._limit_bytes = limit_bytes
        self._used_bytes = 0

    @contextmanager
    def hold(self) -> Iterator[Held]:
        """Account for one body until the block ends."""
        held = Held()
        try:
            yield held
        finally:
            self._used_bytes -= held.size_bytes

    def grow(self, held: Held, size_bytes: int) -> None:
        """Add to what one body holds.

        Raises:
            OverloadedError: the bodies now in memory leave no room for it.
        """
        if self._used_bytes + size_bytes > self._limit_bytes:
            raise OverloadedError(
                f"request bodies of {self._used_bytes} bytes are being worked on; "
                f"allowed at once: {self._limit_bytes} bytes; try again later"
            )
        self._used_bytes += size_bytes
        held.size_bytes += size_bytes


@asynccontextmanager
async def received(
    request: Request[Any], *, limit_bytes: int, timeout_s: float, budget: UploadBudget
) -> AsyncIterator[bytes]:
    """The whole body, in memory for as long as the block lasts.

    Args:
        request: its body is not read yet, so that a client that asked first (`Expect:
            100-continue`) is refused before it sends.
        limit_bytes: of this body; checked against Content-Length, then counted.
        timeout_s: for the whole body to arrive.
        budget: shared by all requests.

    Raises:
        TooLargeError: the body is, or says it is, larger than the limit.
        UnsupportedMediaError: it is compressed.
        RequestTimeoutError: it did not arrive in time.
        OverloadedError: too many bytes of other bodies are in memory.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().lower() != "identity":
        raise UnsupportedMediaError(f"Content-Encoding is {quoted(encoding)}; allowed: none")
    announced = request.headers.get("content-length", "0")
    if parse_integer(announced, 0, limit_bytes) is None:
        raise _too_large(f"{cut(announced)} bytes", limit_bytes)
    with budget.hold() as held:
        try:
            async with asyncio.timeout(timeout_s):
                body = await _receive(request, limit_bytes, budget, held)
        except TimeoutError:
            raise RequestTimeoutError(
                f"{held.size_bytes} bytes of the request body arrived in {timeout_s} s; "
                f"allowed: {timeout_s} s for the whole body (TIMEOUT)"
            ) from None
        yield body


async def _receive(
    request: Request[Any], limit_bytes: int, budget: UploadBudget, held: Held
) -> bytes:
    chunks: list[bytes] = []
    async with aclosing(request.stream()) as stream:
        async for chunk in stream:
            if held.size_bytes + len(chunk) > limit_bytes:
                raise _too_large(f"more than {limit_bytes} bytes", limit_bytes)
            budget.grow(held, len(chunk))
            chunks.append(chunk)
    # the chunks are gone after it, or the body would be in memory twice while it is worked on
    return b"".join(chunks)


def _too_large(found: str, limit_bytes: int) -> TooLargeError:
    return TooLargeError(
        f"the request body is {found}; allowed: {limit_bytes} bytes (MAX_UPLOAD_SIZE)"
    )
