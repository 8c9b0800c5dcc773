"""A listening socket that several workers accept from, each its share of the connections."""

import errno
import os
import socket
import struct
import time

from serve.http.listener import Listener, has_waiting
from serve.workers.board import Row

PATIENCE_S = 0.01  # for a worker with fewer connections to accept one that waits
_PAUSE_S = 0.0002  # in which that one gets a CPU
_CREDENTIALS = struct.Struct("3i")  # of SO_PEERCRED: pid, uid, gid


class FairListener(Listener):
    """A worker's end of the socket that all workers listen on.

    A connection wakes every worker. One that has more connections than another leaves it to that
    one; without this, whoever wakes first takes all that wait. A worker that does not come in time
    leaves its connections to the others.
    """

    def __init__(self, listener: socket.socket, row: Row) -> None:
        """Take over a listening socket."""
        super().__init__(fileno=listener.detach())
        self._row = row.begin()
        self._left_s = 0.0  # when a connection was left to another worker first
        self._asked_s = 0.0  # and last

    def accept(self) -> tuple[socket.socket, object]:
        """Accept a connection.

        Raises:
            BlockingIOError: none waits, or it is another worker's turn.
        """
        if not has_waiting(self):
            raise BlockingIOError(errno.EAGAIN, "no connection waits")
        if self._is_anothers_turn():
            time.sleep(_PAUSE_S)
            raise BlockingIOError(errno.EAGAIN, "another worker has fewer connections")
        descriptor, address = self._accept()  # type: ignore[attr-defined]  # of C
        return _Counted(self._row, self, descriptor), address

    def close(self) -> None:
        """Close this worker's end; the others go on."""
        self._row.end()
        super().close()

    def _is_anothers_turn(self) -> bool:
        if self._row.connections <= self._row.board.fewest_connections():
            return False
        now_s = time.monotonic()
        # the event loop asks again and again while a connection waits: a gap means a new one
        if now_s - self._asked_s > PATIENCE_S:
            self._left_s = now_s
        self._asked_s = now_s
        if now_s - self._left_s < PATIENCE_S:
            return True
        self._left_s = now_s  # of several that wait, each is left to the other
        return False


class _Counted(socket.socket):
    """A connection that counts among those of its worker until it is closed."""

    def __init__(self, row: Row, listener: socket.socket, descriptor: int) -> None:
        super().__init__(listener.family, listener.type, listener.proto, descriptor)
        self._row: Row | None = row
        row.count_connection(1)

    def close(self) -> None:
        """Close the connection."""
        row, self._row = self._row, None
        if row is not None:
            row.count_connection(-1)
        super().close()


class InternalListener(socket.socket):
    """A Unix socket on which a worker hears the others; it has no path in the file system."""

    @classmethod
    def create(cls) -> "InternalListener":
        """Return a listening socket with a name that the kernel chooses; Linux alone."""
        listener = cls(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind("")
        listener.listen()
        return listener

    def accept(self) -> tuple[socket.socket, object]:
        """Accept a connection of this user.

        Raises:
            ConnectionAbortedError: it was another user's.
        """
        connection, address = super().accept()
        credentials = connection.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
        )
        _, user, _ = _CREDENTIALS.unpack(credentials)
        if user != os.getuid():
            connection.close()
            raise ConnectionAbortedError("a connection of another user")
        return connection, address
