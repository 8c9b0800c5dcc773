"""The limits of a connection, in bytes, seconds and counts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limit what one client may send, hold and wait for."""

    timeout_s: float = 30  # for a head to arrive; without progress of an answer
    keep_alive_s: float = 75  # between two requests
    connections: int = 1024  # open at once; the file descriptors may allow fewer
    head_bytes: int = 65536  # of a head; of trailers and chunk extensions together
    chunk_overhead_bytes: int = 2**19  # around the chunks of a body, over the size of the body
    head_fields: int = 100  # of a head and its trailers
    read_bytes: int = 65536  # taken from the kernel at once
    unread_body_bytes: int = 32768  # that wait for the application; then the client waits
    discard_bytes: int = 16 * 2**20  # of a refused body; then the connection is reset
    linger_s: float = 2  # for a client to read a refusal while it still sends
    answer_bytes_per_s: int = 4096  # the slowest client that an answer is sent to
    unfinished_head_bytes: int = 16 * 2**20  # of all clients
    unread_answer_bytes: int = 64 * 2**20  # that wait for all clients, in the kernel too


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of the connection itself, to a request that the application never sees."""

    status: int
    message: str
    retry_s: int | None = None  # seconds; the header Retry-After
