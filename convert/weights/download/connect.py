"""Connect over TCP within a time limit that also covers the name lookup.

`socket.create_connection` gives every address of a host the whole timeout, one after the other, and
`getaddrinfo` has none: on a machine that drops packets that is minutes for one host.
"""

import errno
import os
import queue
import selectors
import socket
import threading
import time
from contextlib import ExitStack
from typing import Any

PER_FAMILY = 2  # addresses of IPv4 and of IPv6 to try, all at the same time
Address = tuple[Any, ...]  # an entry of getaddrinfo: family, type, protocol, name, address


def connect(host: str, port: int, timeout_s: float) -> socket.socket:
    """Connect to the first address of a host that answers.

    Raises:
        TimeoutError: neither the name server nor the host answered within `timeout_s`.
        OSError: no such name, or every address refused.
    """
    deadline = time.monotonic() + timeout_s
    addresses = _first_of_each_family(_resolve(host, port, timeout_s))
    with ExitStack() as unused, selectors.DefaultSelector() as pending:
        last: OSError = OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))
        for address in addresses:
            try:
                candidate = unused.enter_context(_start(address))
            except OSError as error:
                last = error
            else:
                pending.register(candidate, selectors.EVENT_WRITE, candidate)
        while pending.get_map():
            ready = pending.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                pending.unregister(key.fileobj)
                code = key.data.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code == 0:
                    return socket.socket(fileno=key.data.detach())
                last = OSError(code, os.strerror(code))
        raise last


def _start(address: Address) -> socket.socket:
    """Start to connect to an address; return the socket, which does not block.

    Raises:
        OSError: it has failed already: no route, or no such family.
    """
    family, kind, protocol, _, target = address
    connecting = socket.socket(family, kind, protocol)
    connecting.setblocking(False)
    code = connecting.connect_ex(target)
    if code in (0, errno.EINPROGRESS):
        return connecting
    connecting.close()
    raise OSError(code, os.strerror(code))


def _resolve(host: str, port: int, timeout_s: float) -> list[Address]:
    """Return the addresses of a host.

    A lookup cannot be cancelled: one that hangs goes on in its thread, a daemon, which ends with
    the program.

    Raises:
        TimeoutError: no answer within `timeout_s`.
        OSError: no such name.
    """
    answers: queue.SimpleQueue[list[Address] | OSError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            answers.put(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except OSError as error:
            answers.put(error)

    threading.Thread(target=look_up, daemon=True).start()
    try:
        answer = answers.get(timeout=timeout_s)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(answer, OSError):
        raise answer
    return answer


def _first_of_each_family(addresses: list[Address]) -> list[Address]:
    families = dict.fromkeys(address[0] for address in addresses)
    return [
        address
        for family in families
        for address in [other for other in addresses if other[0] == family][:PER_FAMILY]
    ]
