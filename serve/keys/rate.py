"""Limit how often a client may ask: a token bucket for each, in bounded memory."""

import socket
import time
from collections import OrderedDict
from collections.abc import Callable

from serve.settings.kinds import Rate

MOST_CLIENTS = 16384  # that are remembered, at some 200 bytes
IPV6_NETWORK_BYTES = 8  # of an address: a client has a whole /64


class RateLimiter:
    """Counts the requests of each client. Use it on the event loop only.

    Of each client one number is kept: when its bucket will be full again.
    """

    def __init__(
        self, rate: Rate, clock: Callable[[], float] = time.monotonic, most: int = MOST_CLIENTS
    ) -> None:
        """Allow a rate to each client; remember as many as `most`, those that asked last."""
        self.rate = rate
        self._clock = clock
        self._most = most
        self._interval_s = rate.per_s / rate.count
        self._full_s: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_s)

    def take(self, client: str) -> float:
        """Count a request; return 0, or the seconds after which one is allowed again."""
        now_s = self._clock()
        full_s = max(self._full_s.pop(client, now_s), now_s)
        wait_s = full_s + self._interval_s - now_s - self.rate.burst * self._interval_s
        is_allowed = wait_s <= 1e-9
        self._full_s[client] = full_s + self._interval_s if is_allowed else full_s
        if len(self._full_s) > self._most:
            self._full_s.popitem(last=False)
        return 0.0 if is_allowed else wait_s


def network_of(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or the first 64 bits of an IPv6 one."""
    if ":" not in address:
        return address
    try:
        packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    except OSError:
        return address
    if packed.startswith(b"\0" * 10 + b"\xff\xff"):
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return packed[:IPV6_NETWORK_BYTES].hex()
