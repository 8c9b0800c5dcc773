"""GET requests over HTTPS: redirects, proxies, time limits, and hosts that do not answer."""

import base64
import http.client
import socket
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse

from convert.errors import SourceError
from convert.weights.download.connect import connect
from runtime.errors import one_line

REDIRECTS = 5
PROXY_PORT = 3128  # of a proxy address without a port
MOVED = (301, 302, 303, 307, 308)
BLOCK_BYTES = 1 << 18
SLOWEST_BYTES_PER_S = 32_000  # a body may take the time that it takes at this rate, plus answer_s
MEANING = {
    401: "it wants a login",
    403: "it refuses",
    404: "nothing is there",
    410: "it is gone",
    429: "too many requests",
}


class BrokenOffError(SourceError):
    """The connection ended or fell silent before the file was complete; its beginning is kept."""


@dataclass(slots=True)
class Network:
    """The time limits of one run, and the hosts that did not answer: each is tried once."""

    connect_s: float = (
        3.0  # name lookup and all addresses; TCP repeats a lost first packet after 1 s
    )
    stall_s: float = 20.0  # longest silence
    answer_s: float = 60.0  # until the headers are complete, however slowly they come
    schemes: Sequence[str] = ("https",)
    unreachable: dict[str, str] = field(default_factory=dict)  # reason by host

    def probe(self, addresses: Sequence[str]) -> None:
        """Try the hosts of all addresses at once: without a network that costs one `connect_s`."""
        targets = {self._target(address) for address in addresses}
        if len(targets) > 1:
            with ThreadPoolExecutor(len(targets)) as pool:
                for connection in pool.map(lambda target: self._reach(*target), targets):
                    if connection is not None:
                        connection.close()

    def unreachable_reason(self, address: str) -> str | None:
        """Return why the host of an address, or the proxy to it, cannot be reached.

        None if it accepts a connection.
        """
        host, port = self._target(address)
        connection = self._reach(host, port)
        if connection is None:
            return f"{host} {self.unreachable[host]}"
        connection.close()
        return None

    @contextmanager
    def get(self, address: str, headers: Mapping[str, str] | None = None) -> Iterator[HTTPResponse]:
        """Send a GET request and follow redirects; the response has status 200, 206 or 416.

        Raises:
            SourceError: not reached, no answer in time, another status, a web page, compressed
                content, more than REDIRECTS redirects, or one to another scheme.
        """
        current = address
        for _ in range(REDIRECTS + 1):
            with self._response(current, headers or {}) as response:
                if response.status not in MOVED:
                    _check(response, address)
                    yield response
                    return
                location = response.headers.get("Location", "")
            current = urllib.parse.urljoin(current, location)
            if urllib.parse.urlsplit(current).scheme not in self.schemes:
                raise SourceError(
                    f"{address}: redirected to {current!r}; allowed: {', '.join(self.schemes)}"
                )
        raise SourceError(f"{address}: more than {REDIRECTS} redirects")

    def blocks(self, response: HTTPResponse, size: int, address: str) -> Iterator[bytes]:
        """Read the body block by block, as it arrives.

        Args:
            response: from `get`.
            size: bytes expected, which bound the time.
            address: for the message.

        Raises:
            BrokenOffError: silence for `stall_s`, slower than SLOWEST_BYTES_PER_S, or the
                connection broke.
        """
        end = time.monotonic() + self.answer_s + size / SLOWEST_BYTES_PER_S
        while True:
            try:
                block = response.read1(BLOCK_BYTES)
            except TimeoutError:
                raise BrokenOffError(f"{address}: silent for {self.stall_s:g} s") from None
            except (OSError, http.client.HTTPException) as error:
                raise BrokenOffError(f"{address}: the connection broke ({error})") from error
            if not block:
                return
            yield block
            if time.monotonic() > end:
                raise BrokenOffError(
                    f"{address}: slower than {SLOWEST_BYTES_PER_S / 1000:g} kB/s; given up"
                )

    @contextmanager
    def _response(self, address: str, headers: Mapping[str, str]) -> Iterator[HTTPResponse]:
        connection, target = self._connection(address)
        late = threading.Event()
        # the socket's timeout is not enough: dripping headers send each single byte in time
        timer = threading.Timer(self.answer_s, _shut_down, (connection, late))
        timer.daemon = True
        timer.start()
        try:
            # identity: length and hash are of the file itself, not of a compressed form of it
            connection.request(
                "GET",
                target,
                headers={"User-Agent": "slipway", "Accept-Encoding": "identity", **headers},
            )
            response = connection.getresponse()
            if late.is_set():  # headers that were cut off look like headers that end
                response.close()
                raise TimeoutError
        except SourceError:
            connection.close()
            raise
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise SourceError(f"{address}: {self._reason(error, late)}") from error
        finally:
            timer.cancel()
        try:
            yield response
        finally:
            response.close()
            connection.close()

    def _reason(self, error: Exception, late: threading.Event) -> str:
        if late.is_set():
            return f"no complete answer within {self.answer_s:g} s"
        if isinstance(error, TimeoutError):
            return f"no answer for {self.stall_s:g} s"
        return f"no answer ({one_line(error)})"  # may quote the server, at any length

    def _target(self, address: str) -> tuple[str, int]:
        """Return host and port to connect to: those of the address, or of the proxy to it."""
        host, port, _ = _split(address, self.schemes)
        proxy = _proxy(address)
        return (host, port) if proxy is None else (proxy.hostname or "", proxy.port or PROXY_PORT)

    def _connection(self, address: str) -> tuple[HTTPConnection, str]:
        """Return a connection that is not open yet, and the path to request."""
        host, port, path = _split(address, self.schemes)
        secure = urllib.parse.urlsplit(address).scheme == "https"  # urlsplit lower-cases it
        kind = http.client.HTTPSConnection if secure else HTTPConnection
        connection = kind(*self._target(address), timeout=self.stall_s)
        proxy = _proxy(address)
        if proxy is not None:
            connection.set_tunnel(host, port, headers=_credentials(proxy))
        # http.client's own way to connect has no limit over several addresses
        connection._create_connection = self._connect  # type: ignore[attr-defined]  # not in the stubs
        return connection, path

    def _connect(self, address: tuple[str, int], *_: object) -> socket.socket:
        connection = self._reach(*address)
        if connection is None:
            raise SourceError(f"{address[0]} {self.unreachable[address[0]]}")
        return connection

    def _reach(self, host: str, port: int) -> socket.socket | None:
        """Connect to a host, or record why it cannot be reached and return None."""
        if host in self.unreachable:
            return None
        try:
            connection = connect(host, port, self.connect_s)
        except TimeoutError:
            self.unreachable[host] = f"did not answer within {self.connect_s:g} s"
            return None
        except OSError as error:
            self.unreachable[host] = f"cannot be reached ({error.strerror or error})"
            return None
        connection.settimeout(self.stall_s)
        return connection


def _split(address: str, schemes: Sequence[str]) -> tuple[str, int, str]:
    """Return host, port and path with query.

    Raises:
        SourceError: another scheme, or no host.
    """
    parts = urllib.parse.urlsplit(address)
    if parts.scheme not in schemes or not parts.hostname:
        raise SourceError(f"{address!r} is no address to download; allowed: {schemes[0]}://...")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.hostname, port, parts._replace(scheme="", netloc="").geturl() or "/"


def _proxy(address: str) -> urllib.parse.SplitResult | None:
    """Return the proxy that HTTPS_PROXY and NO_PROXY name for an https address."""
    parts = urllib.parse.urlsplit(address)
    proxy = urllib.request.getproxies().get("https") if parts.scheme == "https" else None
    if not proxy or urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urllib.parse.urlsplit(proxy if "//" in proxy else f"//{proxy}")


def _credentials(proxy: urllib.parse.SplitResult) -> dict[str, str]:
    """Return the header that logs in to a proxy; empty if its address names no user."""
    if proxy.username is None:
        return {}
    user, password = proxy.username, proxy.password or ""
    login = f"{urllib.parse.unquote(user)}:{urllib.parse.unquote(password)}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}


def _check(response: HTTPResponse, address: str) -> None:
    """Refuse a response that cannot be the file.

    Raises:
        SourceError: another status than 200, 206 or 416, a web page, or compressed content.
    """
    status = response.status
    if status not in (200, 206, 416):
        meaning = MEANING.get(status, response.reason or "no file")
        raise SourceError(f"{address}: status {status}, {meaning}")
    if response.headers.get_content_type() == "text/html":
        raise SourceError(f"{address}: server sent a web page, not the file")
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise SourceError(
            f"{address}: server sent Content-Encoding: {encoding}; expected the raw file"
        )


def _shut_down(connection: HTTPConnection, late: threading.Event) -> None:
    """End a connection whose headers are not complete in time."""
    late.set()
    if connection.sock is not None:
        with suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)
