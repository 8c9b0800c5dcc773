"""One HTTP exchange with a registry, within limits; a connection for each."""

import http.client
import json
import os
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from runtime.errors import ArtifactError, UnavailableError, one_line
from runtime.transport.limits import CHUNK_BYTES, Limits
from runtime.transport.proxy import find_proxy

REDIRECTS = 5
REDIRECTED = (301, 302, 303, 307, 308)
LONGEST_ERROR = 4096  # bytes of an answer that says what is wrong
AUTHORITIES = "SSL_CERT_FILE"  # read by OpenSSL itself: the authorities, in place of the system's
_PORTS = {"http": 80, "https": 443}
# verification codes of OpenSSL: the issuer is unknown, or the certificate signed itself
_UNKNOWN_AUTHORITY = (2, 18, 19, 20, 21)
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")  # reasons of OpenSSL
Body = Callable[[], Iterable[bytes]]  # begins anew at each call
Response = http.client.HTTPResponse


class BrokenError(UnavailableError):
    """The connection was refused or broke, or the registry is overloaded: worth another attempt."""


@contextmanager
def exchange(
    method: str,
    url: str,
    headers: Mapping[str, str],
    limits: Limits,
    *,
    plain_http: bool,
    body: Body | None = None,
) -> Iterator[Response]:
    """Send a request, follow redirects of GET and HEAD, and yield the response.

    `Authorization` goes to the first host alone.

    Args:
        method: of the request.
        url: of the first host.
        headers: with the length of the body, if there is one.
        limits: of the transfer.
        plain_http: allow http, on the first host and on those that it names.
        body: of the request.

    Raises:
        BrokenError: the connection was refused or broke.
        ArtifactError: too many redirects, or one to another scheme.
    """
    first = urlsplit(url)
    sent = dict(headers)
    for _ in range(REDIRECTS + 1):
        parts = urlsplit(url)
        _check_scheme(parts, url, plain_http=plain_http)
        if parts.netloc != first.netloc:
            sent.pop("Authorization", None)
        with _one_exchange(method, parts, sent, limits, body) as response:
            location = response.getheader("Location")
            if method not in ("GET", "HEAD") or response.status not in REDIRECTED or not location:
                yield response
                return
        url = urljoin(url, location)
    raise ArtifactError(f"{first.netloc} redirects more than {REDIRECTS} times; allowed: that many")


def _check_scheme(parts: SplitResult, url: str, *, plain_http: bool) -> None:
    allowed = ("https", "http") if plain_http else ("https",)
    if parts.scheme not in allowed or not parts.hostname:
        raise ArtifactError(
            f"the address is {url[:300]!r}; allowed: {' or '.join(allowed)} "
            "(http for registries of this machine, and with plain HTTP allowed)"
        )


@contextmanager
def _one_exchange(
    method: str, parts: SplitResult, headers: Mapping[str, str], limits: Limits, body: Body | None
) -> Iterator[Response]:
    limits.check()
    path = parts.path or "/"
    target = f"{path}?{parts.query}" if parts.query else path
    connection = _connection_to(parts, limits)
    try:
        connection.request(
            method, target, body=_checked(body, limits) if body else None, headers=dict(headers)
        )
        with closing(connection.getresponse()) as response:
            yield response
    except (OSError, http.client.HTTPException) as error:
        if sentence := _lasting_fault(error, parts.netloc):
            raise ArtifactError(sentence) from error
        reason = getattr(error, "strerror", None) or one_line(error)
        raise BrokenError(f"{parts.netloc} is not reached{_by(parts)}: {reason}") from error
    finally:
        with suppress(OSError):
            connection.close()


def _lasting_fault(error: Exception, netloc: str) -> str | None:
    """Return what is wrong, if another attempt would fail in the same way."""
    if isinstance(error, ssl.SSLCertVerificationError):
        sentence = f"the certificate of {netloc} is refused: {error.verify_message}"
        return sentence + (_needed() if error.verify_code in _UNKNOWN_AUTHORITY else "")
    if isinstance(error, ssl.SSLError) and error.reason in _NO_TLS:
        return f"{netloc} does not speak TLS; allowed: https, or http with plain HTTP allowed"
    return None


def _needed() -> str:
    """Return which authorities count, as the end of a refusal."""
    file = os.environ.get(AUTHORITIES)
    used = f"those of {AUTHORITIES}={file}" if file else "those of the system"
    if file and not os.access(file, os.R_OK):
        used += ", which cannot be read"
    return f". Its authority must be among {used}; {AUTHORITIES} names a file of others"


def _by(parts: SplitResult) -> str:
    proxy = find_proxy(parts.netloc, os.environ) if parts.scheme == "https" else None
    return f" through the proxy {proxy}" if proxy else ""


def _connection_to(parts: SplitResult, limits: Limits) -> http.client.HTTPConnection:
    try:
        # without a port http.client would look for one in the host, and find that of IPv6's "::1"
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    except ValueError as error:
        raise ArtifactError(f"the address is {parts.geturl()[:300]!r}: {error}") from error
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=limits.idle_s)
    context = ssl.create_default_context()
    proxy = find_proxy(parts.netloc, os.environ)
    if proxy is None:
        return http.client.HTTPSConnection(host, port, timeout=limits.idle_s, context=context)
    connection = http.client.HTTPSConnection(
        proxy.host, proxy.port, timeout=limits.idle_s, context=context
    )
    connection.set_tunnel(host, port, dict(proxy.headers))
    return connection


def _checked(body: Body, limits: Limits) -> Iterator[bytes]:
    for data in body():
        limits.check()
        yield data


def read_whole(response: Response, most_bytes: int, limits: Limits, what: str) -> bytes:
    """Return the body of a response.

    Raises:
        ArtifactError: it is longer than allowed.
    """
    parts = []
    left = most_bytes + 1
    for data in pieces(response, limits):
        parts.append(data[:left])
        left -= len(parts[-1])
        if left <= 0:
            raise ArtifactError(f"{what} has more than {most_bytes} bytes; allowed: that many")
    return b"".join(parts)


def pieces(response: Response, limits: Limits) -> Iterator[bytes]:
    """Yield the body of a response as it arrives.

    Raises:
        UnavailableError: it takes too long.
    """
    while data := response.read1(CHUNK_BYTES):
        limits.check()
        yield data


def error_text(response: Response) -> str:
    """Return what a registry says is wrong: its status and the messages of its JSON."""
    text = f"HTTP {response.status}"
    with suppress(OSError, http.client.HTTPException, ValueError):
        content: Any = json.loads(response.read(LONGEST_ERROR))
        errors = content.get("errors", []) if isinstance(content, dict) else []
        said = [
            f"{e.get('code', '')} {e.get('message', '')}" for e in errors if isinstance(e, dict)
        ]
        text = ", ".join([text, *said[:3]])
    return one_line(ValueError(text))
