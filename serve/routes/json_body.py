"""Read the short JSON body of an administrative request."""

import orjson
from starlette.requests import Request

from runtime.errors import InputError
from serve.http.body import receive_body
from serve.state import State

MOST_BYTES = 64 * 1024


async def read_json(request: Request[State]) -> object:
    """Return the content of a body of up to MOST_BYTES.

    Raises:
        InputError: it is not JSON.
        TooLargeError: it has more bytes.
    """
    state = request.state
    async with receive_body(
        request,
        limit_bytes=MOST_BYTES,
        timeout_s=state["settings"].timeout_s,
        budget=state["budget"],
    ) as body:
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise InputError(f"the request is not JSON: {error}") from None
