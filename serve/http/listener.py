"""The listening socket, and how many connections the process may have."""

import ctypes
import resource
import select
import socket
import struct

from serve.settings import SettingsError

QUEUED_CONNECTIONS = 1024  # that the kernel keeps until they are accepted
MAX_CONNECTIONS = 1024  # each may hold a head of 64 kB and as much of a body
OTHER_FILES = 224  # descriptors of models, decoders, logs and of what is accepted in one turn
SEND_BUFFER_BYTES = 65536  # the kernel doubles it; by default it keeps 2.8 MB per slow client


# a classic BPF program over a TCP header: drop it if SYN is set and ACK is not, else keep it all
_DROP_SYN = struct.pack(
    "HBBI" * 5,
    *(0x30, 0, 0, 13),  # load the byte of flags
    *(0x54, 0, 0, 0x12),  # of which ACK and SYN
    *(0x15, 0, 1, 0x02),  # SYN alone?
    *(0x06, 0, 0, 0),
    *(0x06, 0, 0, 0xFFFFFFFF),
)
_SO_ATTACH_FILTER = 26


class Listener(socket.socket):
    """A listening socket with a long queue, whatever number asyncio accepts in one turn."""

    def listen(self, backlog: int = 0, /) -> None:
        """Listen, with at least QUEUED_CONNECTIONS waiting."""
        super().listen(max(backlog, QUEUED_CONNECTIONS))


def listen(host: str, port: int) -> Listener:
    """Return a listening socket. The host :: stands for all addresses of IPv6 and IPv4.

    Accepted connections inherit its options: the kernel keeps little of an answer that the client
    does not read, and sends small answers at once. (asyncio would set the latter only on sockets
    whose protocol number is known, which that of an accepted one is not.)

    Raises:
        SettingsError: the address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = host == "::" and socket.has_dualstack_ipv6()
    try:
        created = socket.create_server((host, port), family=family, dualstack_ipv6=both)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError(f"cannot listen on {host}, port {port}: {reason}") from error
    listener = Listener(fileno=created.detach())
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def allowed_connections() -> int:
    """Raise the limit of file descriptors as far as allowed, and return how many may be clients."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(1, min(MAX_CONNECTIONS, hard - OTHER_FILES))


def let_nobody_in(listener: socket.socket) -> None:
    """Drop the first packet of new connections; those that are being opened still come in.

    To close a listening socket resets the connections that the kernel has opened and nobody has
    accepted yet, with the requests in them. Linux alone; elsewhere this does nothing.
    """
    program = ctypes.create_string_buffer(_DROP_SYN, len(_DROP_SYN))
    pointer = struct.pack("HP", len(_DROP_SYN) // 8, ctypes.addressof(program))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)
    except OSError:
        return


def has_waiting(listener: socket.socket) -> bool:
    """Return True if a connection is opened that nobody has accepted yet."""
    return bool(select.select([listener], [], [], 0)[0])


def url_of(listener: socket.socket) -> str:
    """Return the address of a listening socket as a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
