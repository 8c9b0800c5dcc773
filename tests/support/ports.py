"""Ports for servers that a test starts as processes."""

import itertools
import os
import socket
import time

# below those that the kernel gives to clients and to port 0: nobody takes one in the meantime
FIRST, NUMBER = 20_000, 10_000
STEP = 101  # between the first ports of processes that run tests at once
_offsets = itertools.count()


def free_port() -> int:
    """Return a port of this machine that nothing listens on, another one each time."""
    while True:
        port = FIRST + (os.getpid() * STEP + next(_offsets)) % NUMBER
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def wait_for_port(port: int, seconds: float = 60.0) -> None:
    """Wait until something listens on a port of this machine.

    Raises:
        ConnectionError: nothing does after some seconds.
    """
    end_s = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=seconds).close()
        except ConnectionError:
            if time.monotonic() > end_s:
                raise
            time.sleep(0.02)
        else:
            return
