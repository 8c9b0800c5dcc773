"""Answer preflight requests of browsers within limits, with errors in the form of all others."""

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from serve.errors import error_response

MAX_HEADER_BYTES = 4096  # of each header that a preflight repeats or splits
_PREFLIGHT_HEADERS = ("Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers")


class BoundedCors(CORSMiddleware):
    """Starlette's middleware, which splits and repeats headers of any length on the event loop."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Respond to OPTIONS: 431 if a header is too long, 400 if the request is not allowed."""
        for name in _PREFLIGHT_HEADERS:
            size = len(request_headers.get(name, ""))
            if size > MAX_HEADER_BYTES:
                message = f"{name} has {size} bytes; allowed: {MAX_HEADER_BYTES}"
                return error_response(message, status=431)
        response = super().preflight_response(request_headers)
        if response.status_code == 200:
            return response
        headers = {
            name: value
            for name, value in response.headers.items()
            if not name.startswith("content-")
        }
        reason = bytes(response.body).decode()
        return error_response(reason, status=response.status_code, headers=headers)
