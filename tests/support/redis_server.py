"""A real redis-server on a loopback port, and a server that answers garbage in its place."""

import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

PROGRAM = shutil.which("redis-server")
START_S = 60


class RedisServer:
    """A redis-server without a disk, which can be stopped and started on its port."""

    def __init__(self, directory: Path, port: int) -> None:
        """Start nothing yet."""
        self.port = port
        self.url = f"redis://127.0.0.1:{port}"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        """Start it, and wait until it answers."""
        assert PROGRAM is not None
        self._process = subprocess.Popen(
            [
                *(PROGRAM, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""),
                *("--appendonly", "no", "--dir", str(self._directory), *options),
            ],
            stdout=subprocess.DEVNULL,
        )
        end_s = time.monotonic() + START_S
        while time.monotonic() < end_s:
            with suppress(OSError, AssertionError):
                assert self.command("PING") == b"+PONG"
                return
            time.sleep(0.01)
        raise AssertionError(f"redis-server does not answer after {START_S} s")

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def stall(self) -> None:
        """Let it keep its connections and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def command(self, *words: str) -> bytes:
        """Return the first line of the answer to a command."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            parts = [f"${len(word)}\r\n{word}\r\n" for word in words]
            connection.sendall(f"*{len(words)}\r\n{''.join(parts)}".encode())
            return connection.makefile("rb").readline().rstrip()

    def keys(self) -> int:
        """Return the number of its keys."""
        return int(self.command("DBSIZE")[1:])


@contextmanager
def redis_server(directory: Path, port: int, *options: str) -> Iterator[RedisServer]:
    """Run a redis-server until the block ends; skip the test where there is none."""
    if PROGRAM is None:
        pytest.skip("redis-server is not installed")
    server = RedisServer(directory, port)
    server.start(*options)
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def answering(port: int, answer: bytes) -> Iterator[None]:
    """Answer the same bytes to whatever arrives on a port, until the block ends."""
    listener = socket.create_server(("127.0.0.1", port), backlog=64)
    connections: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        with suppress(OSError):
            while connection.recv(65536):
                connection.sendall(answer)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connections.append(connection)
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in connections:
            connection.close()
        thread.join(5)
