"""A TCP connection within a time limit that also holds for resolving the name.

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

ADDRESSES = 2  # tried of each family, all at the same time; the first that answers is taken
Address = tuple[Any, ...]  # as getaddrinfo has it: family, type, protocol, name, address


def dial(host: str, port: int, timeout_s: float) -> socket.socket:
    """Connect to the first address that answers.

    Raises:
        TimeoutError: neither refused nor answered within `timeout_s`.
        OSError: no such name, or every address refused.
    """
    deadline = time.monotonic() + timeout_s
    addresses = _some(_resolve(host, port, timeout_s))
    with ExitStack() as losers, selectors.DefaultSelector() as waiting:
        last: OSError = OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))
        for address in addresses:
            try:
                candidate = losers.enter_context(_begin(address))
            except OSError as error:
                last = error
            else:
                waiting.register(candidate, selectors.EVENT_WRITE, candidate)
        while waiting.get_map():
            ready = waiting.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                waiting.unregister(key.fileobj)
                code = key.data.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code == 0:
                    return socket.socket(fileno=key.data.detach())
                last = OSError(code, os.strerror(code))
        raise last


def _begin(address: Address) -> socket.socket:
    """A socket on its way to an address.

    Raises:
        OSError: it has failed already: no route, or no such family.
    """
    family, kind, protocol, _, where = address
    connecting = socket.socket(family, kind, protocol)
    connecting.setblocking(False)
    code = connecting.connect_ex(where)
    if code in (0, errno.EINPROGRESS):
        return connecting
    connecting.close()
    raise OSError(code, os.strerror(code))


def _resolve(host: str, port: int, timeout_s: float) -> list[Address]:
    """Addresses of a host; the thread of a resolver that hangs is left behind, as a daemon."""
    answers: queue.SimpleQueue[list[Address] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except OSError as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=timeout_s)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(answer, OSError):
        raise answer
    return answer


def _some(addresses: list[Address]) -> list[Address]:
    families = dict.fromkeys(address[0] for address in addresses)
    return [
        address
        for family in families
        for address in [one for one in addresses if one[0] == family][:ADDRESSES]
    ]
