"""Turn errors into answers: each is JSON, `{"error": "<what was found and what is allowed>"}`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ExceptionHandler

from runtime.errors import InputError, SlipwayError, TooLargeError, UnavailableError
from serve.text.messages import truncate


class NotFoundError(SlipwayError):
    """No such model, version or route: HTTP 404."""


class ForbiddenError(SlipwayError):
    """The client may not do this: HTTP 403."""


class ConflictError(SlipwayError):
    """The request does not fit the state of the server: HTTP 409."""


class GoneError(SlipwayError):
    """There was such a job, and there is no more: HTTP 410."""


class UnprocessableError(SlipwayError):
    """The request contradicts another one that has the same key: HTTP 422."""


class UnsupportedMediaError(SlipwayError):
    """The body has an encoding or type that the server does not read: HTTP 415."""


class RequestTimeoutError(SlipwayError):
    """The body did not arrive in time: HTTP 408, and the server closes the connection."""


class OverloadedError(SlipwayError):
    """The server has more to do than it can in time; it did not accept the request: HTTP 429."""

    def __init__(self, message: str, *, reason: str, retry_after_s: int = 1) -> None:
        """Say in one word what is full, and after how many seconds the client may try again."""
        super().__init__(message)
        self.reason = reason
        self.retry_after_s = max(1, retry_after_s)


class DeadlineError(UnavailableError):
    """An accepted request did not start within its deadline: HTTP 503."""

    def __init__(self, message: str) -> None:
        """Give the reason `deadline`."""
        super().__init__(message, reason="deadline")


# the first class that fits an error decides, so a subclass comes before its base
STATUS: Mapping[type[SlipwayError], int] = {
    TooLargeError: 413,
    InputError: 400,
    ForbiddenError: 403,
    NotFoundError: 404,
    RequestTimeoutError: 408,
    ConflictError: 409,
    GoneError: 410,
    UnsupportedMediaError: 415,
    UnprocessableError: 422,
    OverloadedError: 429,
    UnavailableError: 503,
}
INTERNAL = "internal error"
REASON = "slipway.reason"  # in the scope of a request: why it was refused, in one word
REASONS: Mapping[int, str] = {  # of errors that say no other
    400: "invalid",
    401: "key",
    403: "forbidden",
    404: "not_found",
    405: "method",
    408: "slow_body",
    409: "not_ended",
    410: "gone",
    413: "too_large",
    415: "encoding",
    417: "expectation",
    422: "idempotency_key",
    429: "overload",
    431: "head_too_large",
    500: "fault",
    501: "not_implemented",
    503: "unavailable",
    505: "http_version",
}
STATUS_HEADERS: Mapping[int, Mapping[str, str]] = {
    408: {"Connection": "close"},
    503: {"Retry-After": "1"},  # seconds
}


@contextmanager
def error_context(field: str) -> Iterator[None]:
    """Put the name of a file field before the message of an InputError raised in the block."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{field}: {error}") from error


def json_response(
    content: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a JSON response; numpy arrays in the content become lists."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, status, headers, "application/json")


def error_response(
    message: str, *, status: int, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the response for an error."""
    return json_response({"error": message}, status=status, headers=headers)


def status_of(error: Exception) -> int | None:
    """Return the status of an error whose message a client may read; None for any other."""
    return next((code for kind, code in STATUS.items() if isinstance(error, kind)), None)


def response_of(error: Exception) -> Response | None:
    """Return the response for an error that has a status; None for any other."""
    status = status_of(error)
    if status is None:
        return None
    return error_response(str(error), status=status, headers=_headers_of(error, status))


async def answer_slipway_error(request: Request, error: Exception) -> Response:
    """Respond with the message of an error that has a status; raise any other again."""
    response = response_of(error)
    if response is None:
        raise error
    request.scope[REASON] = getattr(error, "reason", "")
    return response


def _headers_of(error: Exception, status: int) -> Mapping[str, str] | None:
    if isinstance(error, OverloadedError):
        return {"Retry-After": str(error.retry_after_s)}
    return STATUS_HEADERS.get(status)


async def answer_not_found(request: Request, error: Exception) -> Response:
    """Respond to an unknown path with the paths that exist."""
    paths = sorted({route.path for route in request.app.routes if isinstance(route, Route)})
    message = f"no route {truncate(request.url.path)}; known: {', '.join(paths)}"
    return error_response(message, status=404)


async def answer_method_not_allowed(request: Request, error: Exception) -> Response:
    """Respond to a wrong method with those of the path, which several routes may share."""
    # behind a prefix, routes match the rest of the path
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    matching = (
        route.methods or set()
        for route in request.app.routes
        if isinstance(route, Route) and route.path_regex.match(path)
    )
    allowed = ", ".join(sorted(set().union(*matching)))
    place = f"{truncate(request.method)} on {truncate(request.url.path)}"
    headers = {"Allow": allowed}
    return error_response(f"method {place}; allowed: {allowed}", status=405, headers=headers)


async def answer_http_exception(request: Request, error: Exception) -> Response:
    """Respond to an HTTPException of Starlette in the form of the other errors."""
    if not isinstance(error, HTTPException):
        raise error
    return error_response(error.detail, status=error.status_code, headers=error.headers)


async def answer_disconnect(request: Request, error: Exception) -> Response:
    """Respond to a client that left while sending: nobody reads it, and nothing is logged."""
    return error_response("the client left before the body was complete", status=400)


async def answer_unexpected(request: Request, error: Exception) -> Response:
    """Respond to a fault of the server without details; Starlette logs the traceback."""
    return error_response(INTERNAL, status=500)


EXCEPTION_HANDLERS: Mapping[int | type[Exception], ExceptionHandler] = {
    404: answer_not_found,
    405: answer_method_not_allowed,
    HTTPException: answer_http_exception,
    SlipwayError: answer_slipway_error,
    ClientDisconnect: answer_disconnect,
    Exception: answer_unexpected,
}
