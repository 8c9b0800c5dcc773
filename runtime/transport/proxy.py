"""The proxy that the environment names for connections with TLS."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed lacks it

from runtime.errors import ArtifactError

FORM = "http://[USER:PASSWORD@]HOST[:PORT]"
_PORT = 80  # of a proxy whose address names none


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that opens tunnels (CONNECT)."""

    host: str
    port: int
    headers: Mapping[str, str] = field(repr=False)  # of the CONNECT: user and password

    def __str__(self) -> str:
        """Return host and port."""
        return f"{self.host}:{self.port}"


def find_proxy(netloc: str, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy for a host, or None: it is reached directly.

    Args:
        netloc: host, with the port if there is one.
        environ: HTTPS_PROXY names the proxy, NO_PROXY the hosts and domains without one; of a name
            in both cases the lower one counts, also if it is empty.

    Raises:
        ArtifactError: HTTPS_PROXY has another form. The message does not repeat it: it may hold a
            password.
    """
    address = environ.get("https_proxy", environ.get("HTTPS_PROXY", ""))
    excepted = environ.get("no_proxy", environ.get("NO_PROXY", ""))
    if not address or proxy_bypass_environment(netloc, {"no": excepted}):
        return None
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        host, port = parts.hostname, parts.port or _PORT
    except ValueError:
        host = None
    if not host or parts.scheme != "http":
        raise ArtifactError(f"HTTPS_PROXY has another form than the allowed one: {FORM}")
    headers = {}
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    return Proxy(host, port, headers)
