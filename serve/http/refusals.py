"""Refusals of the connection as bytes, in the same JSON as the errors of the application."""

from collections.abc import Iterable
from http import HTTPStatus

import orjson

from serve.http.framing import Header
from serve.http.limits import Refusal
from serve.http.security import NO_PAGE, SECURITY_FIELDS


def encode_refusal(refusal: Refusal, default_headers: Iterable[Header] = ()) -> bytes:
    """Return an HTTP/1.1 response that closes the connection; its body is {"error": message}."""
    body = orjson.dumps({"error": refusal.message})
    status = HTTPStatus(refusal.status)
    headers: list[Header] = [
        *default_headers,
        *SECURITY_FIELDS,
        NO_PAGE,
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    if refusal.retry_s is not None:
        headers.append((b"retry-after", b"%d" % refusal.retry_s))
    lines = [b"HTTP/1.1 %d %s" % (status, status.phrase.encode())]
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join([*lines, b"", body])
