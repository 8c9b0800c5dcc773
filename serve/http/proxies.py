"""Serve behind proxies: a path that all routes begin with, and the client that a proxy names."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from serve.errors import error_response
from serve.text.messages import truncate

Network = IPv4Network | IPv6Network

MAX_FORWARDED_BYTES = 4096  # of X-Forwarded-For; a longer one names nobody
SCHEMES = ("http", "https")
PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]{1,64}){1,8}")
# What probes and Prometheus ask the process itself for: they know no proxy and no path of its.
PROBES = frozenset(
    (
        *("/health", "/health/live", "/health/ready"),
        *("/v2/health/live", "/v2/health/ready", "/metrics"),
    )
)


class BasePath:
    """Mount the application under a path. The probes are served without it too."""

    def __init__(self, app: ASGIApp, base_path: str) -> None:
        """Serve under `base_path`, as /emotion."""
        self.app = app
        self._base_path = base_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request under the path; respond 404 to another."""
        path = scope.get("path", "")
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif path.startswith(f"{self._base_path}/"):
            scope["root_path"] = self._base_path
            await self.app(scope, receive, send)
        elif path in PROBES:
            await self.app(scope, receive, send)
        else:
            message = f"no route {truncate(path)}; all routes begin with {self._base_path}/"
            response = error_response(f"{message} (SLIPWAY_BASE_PATH)", status=404)
            await response(scope, receive, send)


class TrustedProxies:
    """Take a request's client, scheme and prefix from the headers of proxies that are trusted."""

    def __init__(
        self, app: ASGIApp, networks: Sequence[Network], *, with_prefix: bool = True
    ) -> None:
        """Trust the proxies in these networks; the headers of all others are ignored.

        Args:
            app: the application.
            networks: of the proxies.
            with_prefix: whether they cut the prefix off; False if the application has it as its
                base path.
        """
        self.app = app
        self._with_prefix = with_prefix
        self._networks = tuple(networks)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for the client that the nearest proxy without trust is."""
        peer = scope.get("client")
        if scope["type"] == "http" and peer and self._trusts(peer[0]):
            headers = Headers(scope=scope)
            client = self._client_of(headers.get("x-forwarded-for", ""))
            if client:
                scope["client"] = (client, 0)
            if (scheme := headers.get("x-forwarded-proto", "")) in SCHEMES:
                scope["scheme"] = scheme
            prefix = headers.get("x-forwarded-prefix", "").rstrip("/")
            if self._with_prefix and PREFIX.fullmatch(prefix):
                scope["root_path"] = prefix
                scope["path"] = prefix + scope["path"]
        await self.app(scope, receive, send)

    def _client_of(self, forwarded: str) -> str | None:
        """Return the last address that is no trusted proxy's: those before it may be invented."""
        if len(forwarded) > MAX_FORWARDED_BYTES:
            return None
        client = None
        for text in reversed(forwarded.split(",")):
            address = _address(text.strip())
            if address is None:
                return client
            client = address
            if not self._trusts(address):
                return client
        return client

    def _trusts(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(
            ip_address(address) in network for network in self._networks
        )


def _address(text: str) -> str | None:
    """Return an address in its usual form, IPv4 within IPv6 as IPv4; None if it is none."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)
