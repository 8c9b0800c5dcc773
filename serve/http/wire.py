"""The sending half of a connection: what was written, and what the client took of it."""

import asyncio
import fcntl
import socket
import struct
import termios
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

CONTINUE = b"HTTP/1.1 100 "


class Wire:
    """A transport that counts what is written, and sends a head with the start of its body."""

    __slots__ = ("_head", "_transport", "close", "holds_head", "is_closing", "written_bytes")

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        """Wrap a transport; `close` is called in place of its own."""
        self._transport = transport
        self.close = close
        self.is_closing = transport.is_closing
        self.holds_head = False  # the next bytes are a head
        self.written_bytes = 0
        self._head = b""

    def write(self, data: bytes) -> None:
        """Send now what the kernel takes, and the rest later; a head waits for its body."""
        self.written_bytes += len(data)
        if self.holds_head and not data.startswith(CONTINUE):
            self.holds_head = False
            self._head = data
            return
        if self._head:
            data, self._head = self._head + data, b""
        self._transport.write(data)

    def flush(self) -> None:
        """Send a head that waits."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def unwritten(self) -> int:
        """Return the bytes that wait in the transport and in the kernel."""
        waiting: int = self._transport.get_write_buffer_size()
        descriptor = self._transport.get_extra_info("socket").fileno()
        if descriptor < 0:
            return waiting
        (queued,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)))
        return waiting + int(queued)

    def reset(self) -> None:
        """Close at once: what is not written yet is lost, in the kernel too."""
        connection = self._transport.get_extra_info("socket")
        if connection.fileno() >= 0:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


@dataclass(slots=True)
class Delivery:
    """The progress of a client that has bytes to take."""

    first_bytes: int  # it had taken when it began to have some
    first_s: float
    bytes: int  # it has taken, when that last grew
    seconds: float

    @classmethod
    def begin(cls, size_bytes: int, now: float) -> "Delivery":
        """Return the progress of a client that has taken some bytes until now."""
        return cls(size_bytes, now, size_bytes, now)

    def goes_on(self, size_bytes: int, now: float, *, timeout_s: float, rate: float) -> bool:
        """Note what the client has taken; return whether that is enough.

        Args:
            size_bytes: that it has taken in all.
            now: the loop's time.
            timeout_s: the longest time without progress; also before the rate counts.
            rate: bytes per second, at least.
        """
        if size_bytes > self.bytes:
            self.bytes, self.seconds = size_bytes, now
        owed_bytes = (now - self.first_s - timeout_s) * rate
        return now - self.seconds <= timeout_s and size_bytes - self.first_bytes >= owed_bytes
