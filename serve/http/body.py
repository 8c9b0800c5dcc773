"""Receive request bodies into memory, within the limits of one body and of all together."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

from starlette.requests import ClientDisconnect, Request

from runtime.errors import SlipwayError, TooLargeError
from serve.errors import OverloadedError, RequestTimeoutError, UnsupportedMediaError
from serve.http.budget import PROGRESS_BYTES, Account, ByteBudget, client_of, end_now
from serve.text.integers import parse_integer
from serve.text.messages import repr_truncated, truncate

STALL_LIMIT_S = 10.0  # in which at least 4 kB of a body must arrive
TIMER_STEP_S = 0.1  # a timer is set anew no more often than this: each costs several calls


@asynccontextmanager
async def receive_body(
    request: Request[Any],
    *,
    limit_bytes: int,
    timeout_s: float,
    budget: ByteBudget,
    encodings: Collection[str] = (),
) -> AsyncIterator[bytes]:
    """Receive the whole body; the budget counts it until the block ends.

    Args:
        request: its body is not read yet, so that a client that sent `Expect: 100-continue` gets
            the refusal before it sends the body.
        limit_bytes: of this body; checked against Content-Length, then counted.
        timeout_s: for the whole body to arrive.
        budget: shared by all requests.
        encodings: values of Content-Encoding that the caller reads; the body stays compressed.

    Raises:
        TooLargeError: the body, or its Content-Length, is over the limit.
        UnsupportedMediaError: it is compressed otherwise.
        RequestTimeoutError: it did not arrive in time, or stalls.
        OverloadedError: too many bytes of others are in memory.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().lower() not in ("identity", *encodings):
        allowed = ", ".join(encodings) or "none"
        raise UnsupportedMediaError(
            f"Content-Encoding is {repr_truncated(encoding)}; allowed: {allowed}"
        )
    content_length = request.headers.get("content-length", "0")
    if parse_integer(content_length, 0, limit_bytes) is None:
        raise _too_large(f"{truncate(content_length)} bytes", limit_bytes)
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + timeout_s
    timer_s = loop.time() + STALL_LIMIT_S + TIMER_STEP_S
    timeout = asyncio.timeout_at(min(deadline_s, timer_s))

    def arrived(account: Account, size_bytes: int) -> None:
        if account.size_bytes + size_bytes > limit_bytes:
            raise _too_large(f"more than {limit_bytes} bytes", limit_bytes)
        budget.grow(account, size_bytes)
        nonlocal timer_s
        if account.move(size_bytes) and account.progress_s + STALL_LIMIT_S > timer_s:
            timer_s = account.progress_s + STALL_LIMIT_S + TIMER_STEP_S
            timeout.reschedule(min(deadline_s, timer_s))

    with budget.open(client_of(request.scope), end_now(timeout)) as account:
        try:
            async with timeout:
                body = await _receive(request, account, arrived)
        except TimeoutError:
            raise _ended(account, timeout_s) from None
        account.is_moving = False
        yield body


async def _receive(
    request: Request[Any], account: Account, arrived: Callable[[Account, int], None]
) -> bytes:
    """Return the body; Starlette's `stream` would make two generators for each request."""
    body: BytesIO | None = None
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part: bytes = message.get("body", b"")
        is_last = not message.get("more_body", False)
        arrived(account, len(part))
        if is_last and body is None:
            return part
        # BytesIO hands its buffer over: a list of parts and their join have twice the bytes
        body = body or BytesIO()
        body.write(part)
        if is_last:
            return body.getvalue()


def _ended(account: Account, timeout_s: float) -> SlipwayError:
    """Return the error of a body that is not waited for any longer."""
    if account.is_lost:
        return OverloadedError(
            f"{account.size_bytes} bytes of the request body arrived, then too few, and others "
            "need the memory; allowed: one that arrives without pause; try again later",
            reason="bytes",
        )
    return RequestTimeoutError(
        f"{account.size_bytes} bytes of the request body arrived; allowed: {timeout_s} s for the "
        f"whole body (TIMEOUT), and at least {PROGRESS_BYTES} bytes in {STALL_LIMIT_S:g} s"
    )


def _too_large(size: str, limit_bytes: int) -> TooLargeError:
    return TooLargeError(
        f"the request body is {size}; allowed: {limit_bytes} bytes (MAX_UPLOAD_SIZE)"
    )
