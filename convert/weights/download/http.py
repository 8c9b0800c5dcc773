"""Questions over HTTPS: redirects, proxies, time limits, and hosts that did not answer."""

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
from convert.weights.download.dial import dial
from runtime.errors import one_line

REDIRECTS = 5
PROXY_PORT = 3128  # where the proxy's address names none
MOVED = (301, 302, 303, 307, 308)
BLOCK_BYTES = 1 << 18
SLOWEST_BYTES_PER_S = 32_000  # a transfer may take as long as at this rate, and `Network.answer_s`
MEANING = {
    401: "it wants a login",
    403: "it refuses",
    404: "nothing is there",
    410: "it is gone",
    429: "too many requests",
}


class BrokenOffError(SourceError):
    """The connection ended or fell silent on the way; what came is kept."""


@dataclass(slots=True)
class Network:
    """How this run reaches hosts. Who did not answer once is not asked again."""

    connect_s: float = (
        3.0  # name, connection, all addresses: a lost first packet is sent again at 1 s
    )
    stall_s: float = 20.0  # longest silence
    answer_s: float = 60.0  # until the headers are complete, however slowly they come
    schemes: Sequence[str] = ("https",)
    unreachable: dict[str, str] = field(default_factory=dict)  # host: why

    def probe(self, addresses: Sequence[str]) -> None:
        """Learn at once which hosts do not answer: without a network all of them cost one wait."""
        hosts = {self._dialled(address) for address in addresses}
        if len(hosts) > 1:
            with ThreadPoolExecutor(len(hosts)) as pool:
                for reached in pool.map(lambda host: self._reach(*host), hosts):
                    if reached is not None:
                        reached.close()

    def silence(self, address: str) -> str | None:
        """Why the host of an address, or the proxy to it, cannot be reached; None: it answers."""
        host, port = self._dialled(address)
        reached = self._reach(host, port)
        if reached is None:
            return f"{host} {self.unreachable[host]}"
        reached.close()
        return None

    @contextmanager
    def get(self, address: str, headers: Mapping[str, str] | None = None) -> Iterator[HTTPResponse]:
        """Ask, and follow redirects; the answer has status 200, 206 or 416.

        Raises:
            SourceError: not reached, no answer in time, a refusal, a web page, a redirect too many
                or to another scheme.
        """
        here = address
        for _ in range(REDIRECTS + 1):
            with self._answer(here, headers or {}) as response:
                if response.status not in MOVED:
                    _check(response, address)
                    yield response
                    return
                location = response.headers.get("Location", "")
            here = urllib.parse.urljoin(here, location)
            if urllib.parse.urlsplit(here).scheme not in self.schemes:
                raise SourceError(
                    f"{address}: redirected to {here!r}; allowed: {', '.join(self.schemes)}"
                )
        raise SourceError(f"{address}: more than {REDIRECTS} redirects")

    def blocks(self, response: HTTPResponse, size: int, address: str) -> Iterator[bytes]:
        """The body, as it comes.

        Args:
            response: of `get`.
            size: bytes expected, which bound the time.
            address: for the message.

        Raises:
            BrokenOffError: silence, slower than allowed, or the connection broke.
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
    def _answer(self, address: str, headers: Mapping[str, str]) -> Iterator[HTTPResponse]:
        connection, target = self._connection(address)
        late = threading.Event()
        watch = threading.Timer(self.answer_s, _cut, (connection, late))
        watch.daemon = True
        watch.start()
        try:
            # identity: a length and a hash are of the file, not of what a server makes of it
            connection.request(
                "GET",
                target,
                headers={"User-Agent": "slipway", "Accept-Encoding": "identity", **headers},
            )
            response = connection.getresponse()
            if late.is_set():  # headers that are cut off look like headers that end
                response.close()
                raise TimeoutError
        except SourceError:
            connection.close()
            raise
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise SourceError(f"{address}: {self._why(error, late)}") from error
        finally:
            watch.cancel()
        try:
            yield response
        finally:
            response.close()
            connection.close()

    def _why(self, error: Exception, late: threading.Event) -> str:
        if late.is_set():
            return f"no complete answer within {self.answer_s:g} s"
        if isinstance(error, TimeoutError):
            return f"no answer for {self.stall_s:g} s"
        return f"no answer ({one_line(error)})"

    def _dialled(self, address: str) -> tuple[str, int]:
        host, port, _ = _split(address, self.schemes)
        proxy = _proxy(address)
        return (host, port) if proxy is None else (proxy.hostname or "", proxy.port or PROXY_PORT)

    def _connection(self, address: str) -> tuple[HTTPConnection, str]:
        host, port, target = _split(address, self.schemes)
        secure = urllib.parse.urlsplit(address).scheme == "https"  # in whatever case it is written
        kind = http.client.HTTPSConnection if secure else HTTPConnection
        connection = kind(*self._dialled(address), timeout=self.stall_s)
        proxy = _proxy(address)
        if proxy is not None:
            connection.set_tunnel(host, port, headers=_login(proxy))
        # its own way of connecting has no limit over several addresses
        connection._create_connection = self._connect  # type: ignore[attr-defined]  # not in the stubs
        return connection, target

    def _connect(self, address: tuple[str, int], *_: object) -> socket.socket:
        connected = self._reach(*address)
        if connected is None:
            raise SourceError(f"{address[0]} {self.unreachable[address[0]]}")
        return connected

    def _reach(self, host: str, port: int) -> socket.socket | None:
        if host in self.unreachable:
            return None
        try:
            connected = dial(host, port, self.connect_s)
        except TimeoutError:
            self.unreachable[host] = f"did not answer within {self.connect_s:g} s"
            return None
        except OSError as error:
            self.unreachable[host] = f"cannot be reached ({error.strerror or error})"
            return None
        connected.settimeout(self.stall_s)
        return connected


def _split(address: str, schemes: Sequence[str]) -> tuple[str, int, str]:
    """Host, port, and what is asked of it."""
    parts = urllib.parse.urlsplit(address)
    if parts.scheme not in schemes or not parts.hostname:
        raise SourceError(f"{address!r} is no address that is fetched; allowed: {schemes[0]}://...")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.hostname, port, parts._replace(scheme="", netloc="").geturl() or "/"


def _proxy(address: str) -> urllib.parse.SplitResult | None:
    """HTTPS_PROXY and NO_PROXY, as everywhere; plain http is never asked by proxy."""
    parts = urllib.parse.urlsplit(address)
    proxy = urllib.request.getproxies().get("https") if parts.scheme == "https" else None
    if not proxy or urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urllib.parse.urlsplit(proxy if "//" in proxy else f"//{proxy}")


def _login(proxy: urllib.parse.SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    given = f"{urllib.parse.unquote(proxy.username)}:{urllib.parse.unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(given.encode()).decode()}"}


def _check(response: HTTPResponse, address: str) -> None:
    status = response.status
    if status not in (200, 206, 416):
        meaning = MEANING.get(status, response.reason or "no file")
        raise SourceError(f"{address}: status {status}, {meaning}")
    if response.headers.get_content_type() == "text/html":
        raise SourceError(f"{address}: a web page came, not the file")
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise SourceError(f"{address}: came as {encoding}; only the file as it is is taken")


def _cut(connection: HTTPConnection, late: threading.Event) -> None:
    """End a connection whose headers drip: each byte alone is in time."""
    late.set()
    if connection.sock is not None:
        with suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)
