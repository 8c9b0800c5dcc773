"""Ports for servers that a test starts as processes."""

import socket


def free_port() -> int:
    """Return a port of this machine that nothing listens on at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
