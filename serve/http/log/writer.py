"""Write lines to a file descriptor from a thread, so that nobody waits for a pipe or a disk."""

import os
import select
import threading
import time
from collections.abc import Iterator
from queue import SimpleQueue

WAITING_BYTES = 2**20  # some 4000 requests
LINE_BYTES = 16 * 1024  # the rest of a longer line, a deep traceback, is cut off
GATHER_S = 0.02  # after a line, for those that follow: the thread takes the interpreter's lock once
WRITE_BYTES = 4096  # of lines written at once: a pipe keeps so much together, whoever else writes
_POLL_MS = 1000
_DRAIN_STEP_S = 0.005


class LineWriter:
    """A queue of lines and the thread that writes them.

    A line that finds the queue full, or the disk, is lost and counted; the next line that can be
    written comes after the count. The thread ends with the process, whatever it waits for.
    """

    def __init__(self, descriptor: int, *, waiting_bytes: int = WAITING_BYTES) -> None:
        """Start the thread; the descriptor stays open for it."""
        self._descriptor = descriptor
        self._limit = waiting_bytes
        self._lines: SimpleQueue[bytes] = SimpleQueue()
        self._lock = threading.Lock()  # held for an addition, never for a write
        self._waiting_bytes = 0
        self._lost = 0
        self._is_torn = False  # the last line was written in part
        threading.Thread(target=self._run, name="slipway-log", daemon=True).start()

    def write(self, line: str) -> None:
        """Queue a line, without its end; return at once."""
        data = line.encode(errors="backslashreplace")[:LINE_BYTES] + b"\n"
        with self._lock:
            if self._waiting_bytes + len(data) > self._limit:
                self._lost += 1
                return
            self._waiting_bytes += len(data)
        self._lines.put(data)

    def drain(self, timeout_s: float) -> bool:
        """Wait until the lines are written, for no longer than that; return whether they are."""
        deadline = time.monotonic() + timeout_s
        while self._waiting_bytes and time.monotonic() < deadline:
            time.sleep(_DRAIN_STEP_S)
        return not self._waiting_bytes

    def _run(self) -> None:
        while True:
            first = self._lines.get()
            time.sleep(GATHER_S)
            for lines in self._groups(first):
                self._write_lines(lines)

    def _groups(self, first: bytes) -> Iterator[list[bytes]]:
        """Yield the lines that wait, as many at a time as are written at once, one at least."""
        lines, size = [first], len(first)
        while not self._lines.empty():
            line = self._lines.get()
            if size + len(line) > WRITE_BYTES:
                yield lines
                lines, size = [], 0
            lines.append(line)
            size += len(line)
        yield lines

    def _write_lines(self, lines: list[bytes]) -> None:
        lost = self._lost
        note = f"serve: {lost} lines of the log were lost\n".encode() if lost else b""
        data = b"".join(lines)
        is_written = self._write(note + data)
        with self._lock:
            self._lost += -lost if is_written else len(lines)
            self._waiting_bytes -= len(data)

    def _write(self, data: bytes) -> bool:
        """Write all of the data; return False if the disk is full or the reader is gone."""
        rest = memoryview(b"\n" + data if self._is_torn else data)
        size = len(rest)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # another program made the pipe so
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                poll.poll(_POLL_MS)
            except OSError:
                self._is_torn = self._is_torn or len(rest) < size
                return False
        self._is_torn = False
        return True
