"""Tell whether two requests are the same one, sent again."""

import hashlib

from python_multipart.multipart import parse_options_header

MAX_CONTENT_TYPE_BYTES = 1024
MAX_BOUNDARIES = 128  # more than a form that is accepted has


def fingerprint_of(path: str, query: bytes, content_type: str, body: bytes) -> str:
    """Return a digest of a request.

    A form that is written again gets another boundary; the boundary is left out.
    """
    boundary = _boundary_of(content_type)
    digest = hashlib.sha256()
    for part in (path.encode(), query, content_type.encode().replace(boundary, b"")):
        digest.update(b"%d:" % len(part) + part)
    view, start = memoryview(body), 0
    for _ in range(MAX_BOUNDARIES if boundary else 0):
        end = body.find(boundary, start)
        if end < 0:
            break
        digest.update(view[start:end])
        digest.update(b"\0boundary\0")
        start = end + len(boundary)
    digest.update(view[start:])
    return digest.hexdigest()


def _boundary_of(content_type: str) -> bytes:
    """Return the boundary of a multipart body; of another, b""."""
    if len(content_type) > MAX_CONTENT_TYPE_BYTES:
        return b""
    media_type, parameters = parse_options_header(content_type)
    return parameters.get(b"boundary", b"") if media_type.startswith(b"multipart/") else b""
