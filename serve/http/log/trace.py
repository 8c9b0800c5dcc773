"""The trace of a request: W3C Trace Context (traceparent), and the draft of its response header."""

import re
import secrets
from dataclasses import dataclass

from starlette.datastructures import Headers

TRACEPARENT = "traceparent"
TRACERESPONSE = "traceresponse"
TRACERESPONSE_FIELD = TRACERESPONSE.encode()
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[!-~]*)?")
_VERSION = "00"
_INVALID_VERSION = "ff"
_SPAN_BYTES = 8
MAX_BYTES = 256  # of a version to come; those of version 00 have 55


@dataclass(frozen=True, slots=True)
class Trace:
    """The trace that a client began, and the part of it that this request is."""

    id: str  # 32 hexadecimal digits
    parent: str  # 16, of the client's span
    span: str  # 16, of this request
    flags: str  # 2

    def response(self) -> bytes:
        """Return the value of `traceresponse`: the trace, and the span of this request."""
        return f"{_VERSION}-{self.id}-{self.span}-{self.flags}".encode()


def trace_of(headers: Headers) -> Trace | None:
    """Return the trace of a request; None without a valid traceparent, which is then ignored.

    A later version may have more fields (Trace Context, 3.2.4); version 00 has four.
    """
    text = headers.get(TRACEPARENT)
    if text is None or len(text) > MAX_BYTES or len(headers.getlist(TRACEPARENT)) > 1:
        return None
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    version, trace_id, parent, flags, rest = match.groups()
    if version == _INVALID_VERSION or (version == _VERSION and rest is not None):
        return None
    if not int(trace_id, 16) or not int(parent, 16):
        return None
    if version != _VERSION:  # of its flags only the one of version 00 is known
        flags = f"{int(flags, 16) & 1:02x}"
    return Trace(trace_id, parent, secrets.token_hex(_SPAN_BYTES), flags)
