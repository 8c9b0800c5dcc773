"""Errors to answers: every refusal is JSON, `{"error": "<what was found and what is allowed>"}`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ExceptionHandler

from runtime.errors import InputError, SlipwayError, TooLargeError
from serve.text.quoting import cut


class NotFoundError(SlipwayError):
    """No such model, version or route: HTTP 404."""


class UnsupportedMediaError(SlipwayError):
    """The body is encoded in a way this server does not read: HTTP 415."""


class RequestTimeoutError(SlipwayError):
    """The body did not arrive in time: HTTP 408, and the connection is closed."""


class OverloadedError(SlipwayError):
    """All workers are busy and the queue is full: HTTP 429."""


# the first that fits an error decides, so a subclass stands before its base
STATUS: Mapping[type[SlipwayError], int] = {
    TooLargeError: 413,
    InputError: 400,
    NotFoundError: 404,
    RequestTimeoutError: 408,
    UnsupportedMediaError: 415,
    OverloadedError: 429,
}
INTERNAL = "internal error"
STATUS_HEADERS: Mapping[int, Mapping[str, str]] = {
    408: {"Connection": "close"},
    429: {"Retry-After": "1"},  # seconds
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
    """A JSON answer; numpy arrays inside become lists."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, status, headers, "application/json")


def error_response(
    message: str, *, status: int, headers: Mapping[str, str] | None = None
) -> Response:
    """The one form of an error."""
    return json_response({"error": message}, status=status, headers=headers)


def status_of(error: Exception) -> int | None:
    """The status of an error that the caller caused; None where it is a fault of ours."""
    return next((code for kind, code in STATUS.items() if isinstance(error, kind)), None)


async def answer_slipway_error(request: Request, error: Exception) -> Response:
    """An error raised on purpose: its message is the answer, where the caller caused it."""
    status = status_of(error)
    if status is None:
        raise error
    return error_response(str(error), status=status, headers=STATUS_HEADERS.get(status))


async def answer_not_found(request: Request, error: Exception) -> Response:
    """No route has this path: name those there are."""
    known = sorted({route.path for route in request.app.routes if isinstance(route, Route)})
    message = f"no route {cut(request.url.path)}; known: {', '.join(known)}"
    return error_response(message, status=404)


async def answer_method_not_allowed(request: Request, error: Exception) -> Response:
    """The path exists, not for this method; several routes may share a path."""
    # behind a prefix the path that routes see is what follows it
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    matching = (
        route.methods or set()
        for route in request.app.routes
        if isinstance(route, Route) and route.path_regex.match(path)
    )
    allowed = ", ".join(sorted(set().union(*matching)))
    message = f"method {cut(request.method)} on {cut(request.url.path)}; allowed: {allowed}"
    return error_response(message, status=405, headers={"Allow": allowed})


async def answer_http_exception(request: Request, error: Exception) -> Response:
    """What Starlette itself refuses, in our form."""
    if not isinstance(error, HTTPException):
        raise error
    return error_response(error.detail, status=error.status_code, headers=error.headers)


async def answer_disconnect(request: Request, error: Exception) -> Response:
    """The client left while sending; nobody reads this, and it is no fault to log."""
    return error_response("the client left before the body was complete", status=400)


async def answer_unexpected(request: Request, error: Exception) -> Response:
    """A fault of ours. The traceback goes to the log alone."""
    return error_response(INTERNAL, status=500)


EXCEPTION_HANDLERS: Mapping[int | type[Exception], ExceptionHandler] = {
    404: answer_not_found,
    405: answer_method_not_allowed,
    HTTPException: answer_http_exception,
    SlipwayError: answer_slipway_error,
    ClientDisconnect: answer_disconnect,
    Exception: answer_unexpected,
}
