"""The errors of the routes: their statuses, what they mean, and their headers."""

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict


class ErrorJson(TypedDict):
    """An error: what was found, and what is allowed."""

    error: str
    status: NotRequired[int]


_NOT_IMPLEMENTED = (
    "The method, `Transfer-Encoding` or version of HTTP is not implemented; the server closes the "
    "connection."
)
ERRORS: Mapping[int, str] = {
    400: "The request or its media are invalid, or the protocol of the request line is not HTTP.",
    401: "The request has no valid [API key](#keys); nothing of its body was read.",
    403: "The key of the administrator is missing or wrong.",
    404: "No such route, or its model is not served.",
    405: "The route has other methods, listed in the header `Allow`.",
    408: "The body did not arrive within `TIMEOUT` seconds, or fewer than 4 kB of it in 10 s; the "
    "server closes the connection.",
    409: "The job has not ended: it has no result yet. Ask again after `Retry-After` seconds. Or a "
    "change of a [route](#versions) does not fit the one before, or names a version that cannot "
    "serve.",
    410: "The job expired, was deleted, or belongs to a process that ended.",
    413: "A limit is exceeded: bytes, pixels, seconds, frames, files, parts, numbers of a JSON "
    "answer.",
    415: "The body has a `Content-Encoding` other than those of `/v2`, or a multipart type other "
    "than `form-data`.",
    417: "`Expect` is not `100-continue`.",
    422: "The `Idempotency-Key` belongs to a job with another request.",
    429: "The request would start too late, or has no room, or its client asks more often "
    "than `SLIPWAY_RATE_LIMIT` allows; it was not accepted. Retry after `Retry-After` seconds.",
    431: "The head, or trailers and chunk extensions, have more than 64 kB or 100 fields, or the "
    "lines around chunks 512 kB more than the body; the server closes the connection.",
    500: "A fault of the server; its log has the traceback.",
    501: _NOT_IMPLEMENTED,
    503: "The model is loading or cannot be served; the server ends; an accepted request did not "
    "start within its deadline; the process that decodes a clip or sound was killed, or did not "
    "start, twice; answers that others do not read, models or runs leave no "
    "[memory](#within-the-limit); or every connection has a request. Retry after `Retry-After` "
    "seconds.",
    505: _NOT_IMPLEMENTED,
}
HEADERS: Mapping[int, Sequence[str]] = {
    401: ("WWW-Authenticate",),
    405: ("Allow",),
    409: ("Retry-After",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
# of any request, whatever its route
GENERAL = (400, 408, 413, 417, 431, 500, 501, 503, 505)
BODY = (415,)
QUEUE = (404, 429)
