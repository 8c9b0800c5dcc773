"""The framing of HTTP/1.1 messages: where a head ends, and which heads are refused (RFC 9112)."""

from collections.abc import Sequence

from serve.http.limits import Refusal

Header = tuple[bytes, bytes]
END = b"\r\n\r\n"  # of a head, of trailers, of a last chunk


def end_of_slice(data: bytes, start: int, tail: bytes, limit: int) -> int:
    """Return where the next slice of a stream ends: after END, or after `limit` bytes.

    A slice never goes beyond the end of a message that has no Content-Length body, so that a
    parser which cannot stop never reads into the next request.

    Args:
        data: the bytes that were received and not parsed yet.
        start: the offset of the slice in them.
        tail: up to three bytes before the slice: END may begin there.
        limit: of the slice, in bytes.
    """
    last = min(len(data), start + limit)
    for overlap in range(min(3, len(tail)), 0, -1):
        if END.startswith(tail[-overlap:]) and data.startswith(END[overlap:], start):
            return min(start + 4 - overlap, last)
    position = data.find(END, start, last)
    return last if position < 0 else position + 4


def refuse_head(version: str, headers: Sequence[Header]) -> Refusal | None:
    """Return why RFC 9112 wants this head refused; None if it is well-formed.

    Args:
        version: of HTTP, such as "1.1".
        headers: the fields, names in lower case.
    """
    if version not in ("1.0", "1.1"):
        return Refusal(505, f"HTTP version {version}; allowed: 1.0 and 1.1")
    names = [name for name, _ in headers]
    hosts = names.count(b"host")
    if hosts > 1 or (not hosts and version == "1.1"):
        return Refusal(400, f"{hosts} Host fields; allowed: 1")
    if (
        version == "1.1"
        and b"expect" in names
        and any(
            name == b"expect" and value.strip().lower() != b"100-continue"
            for name, value in headers
        )
    ):
        return Refusal(417, "an Expect other than 100-continue; allowed: 100-continue")
    if b"transfer-encoding" in names:
        return _refuse_coding(version, headers, names)
    if names.count(b"content-length") > 1:
        return Refusal(400, "more than one Content-Length; allowed: 1")
    return None


def body_bytes(headers: Sequence[Header]) -> int:
    """Return the Content-Length of a well-formed head; 0 without one."""
    return int(dict(headers).get(b"content-length", 0))


def is_chunked(headers: Sequence[Header]) -> bool:
    """Return whether the body of a well-formed head comes in chunks."""
    return b"transfer-encoding" in dict(headers)


def _refuse_coding(
    version: str, headers: Sequence[Header], names: Sequence[bytes]
) -> Refusal | None:
    """Return why a Transfer-Encoding is refused; None for chunked alone."""
    if b"content-length" in names:
        return Refusal(400, "Content-Length together with Transfer-Encoding; allowed: one of them")
    if version == "1.0":
        return Refusal(400, "Transfer-Encoding in HTTP/1.0; allowed: Content-Length")
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    if [coding.strip().lower() for coding in codings] != [b"chunked"]:
        return Refusal(501, "a Transfer-Encoding other than chunked; allowed: chunked")
    return None
