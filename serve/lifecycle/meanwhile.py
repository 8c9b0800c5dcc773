"""Answer on the port while the artifacts arrive: alive, not ready, and 503 to all else."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from serve.http.listener import QUEUED_CONNECTIONS

REASON = "the artifacts are being pulled"
RETRY_S = 5
HEAD_BYTES = 16384
HEAD_S = 5.0
LAST_S = 1.0
CONNECTIONS = 64  # one more is closed
LINGER_BYTES, LINGER_S = 65536, 0.5  # of a body, so that the answer is not lost


@contextmanager
def answering(listener: socket.socket, base_path: str) -> Iterator[None]:
    """Answer in a thread while the block runs; those who wait in the queue then stay there.

    Args:
        listener: of the port; it goes on to listen.
        base_path: that all routes begin with.
    """
    loop = asyncio.new_event_loop()
    end = asyncio.Event()
    thread = threading.Thread(
        target=lambda: loop.run_until_complete(_serve(listener, base_path, end)),
        name="slipway-meanwhile",
        daemon=True,
    )
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
        loop.close()
        listener.setblocking(True)  # the copy of the descriptor has changed it


async def _serve(listener: socket.socket, base_path: str, end: asyncio.Event) -> None:
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(tasks) >= CONNECTIONS:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(_answer(reader, writer, base_path))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(
        accept, sock=listener.dup(), limit=HEAD_BYTES, backlog=QUEUED_CONNECTIONS
    )
    async with server:
        await end.wait()
        server.close()
        # what was accepted gets its answer; who has sent nothing yet is not waited for long
        if tasks:
            await asyncio.wait(tasks, timeout=LAST_S)
        for task in tasks:
            task.cancel()


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, base_path: str
) -> None:
    with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        async with asyncio.timeout(HEAD_S):
            head = await reader.readuntil(b"\r\n\r\n")
        method, target, *_ = (*head.partition(b"\r\n")[0].split(b" "), b"", b"")
        path = target.partition(b"?")[0].decode("latin-1").removeprefix(base_path)
        writer.write(answer_to(path, with_body=method != b"HEAD"))
        async with asyncio.timeout(LINGER_S):
            await writer.drain()
            writer.write_eof()
            await reader.read(LINGER_BYTES)
    writer.transport.abort()


def answer_to(path: str, *, with_body: bool = True) -> bytes:
    """Return the answer to a request, as bytes."""
    status = "503 Service Unavailable"
    content: dict[str, str | bool] = {"error": REASON}
    if path in ("/health/live", "/v2/health/live"):
        status, content = "200 OK", {"live": True}
    elif path in ("/health/ready", "/v2/health/ready"):
        content = {"ready": False, "live": True, "reason": REASON}
    body = json.dumps(content, separators=(",", ":")).encode()
    retry = "" if status.startswith("200") else f"retry-after: {RETRY_S}\r\n"
    head = (
        f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        f"{retry}connection: close\r\n\r\n"
    )
    return head.encode() + (body if with_body else b"")
