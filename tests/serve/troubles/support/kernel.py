"""Connections of a server as the kernel sees them (Linux only)."""

from pathlib import Path

_LISTEN = "0A"


def waiting_to_be_sent(port: int) -> int:
    """Return the bytes in the send queues of all connections of a server on 127.0.0.1."""
    return sum(sent for state, sent, _ in _sockets(port) if state != _LISTEN)


def waiting(port: int) -> int:
    """Return the bytes in the send and receive queues of all connections of a server."""
    return sum(sent + got for state, sent, got in _sockets(port) if state != _LISTEN)


def connections(port: int) -> int:
    """Return the number of connections whose server end is established."""
    return sum(state == "01" for state, _, _ in _sockets(port))


def _sockets(port: int) -> list[tuple[str, int, int]]:
    """Return state, send queue and receive queue of each socket with this local port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    local = f":{port:04X}"
    matching = ((row[3], row[4].split(":")) for row in rows if row[1].endswith(local))
    return [(state, int(queues[0], 16), int(queues[1], 16)) for state, queues in matching]
