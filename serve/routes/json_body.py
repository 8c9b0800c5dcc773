"""Read the short JSON body of an administrative request."""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request

from runtime.errors import InputError
from serve.http.body import receive_body
from serve.state import State
from serve.text.messages import json_type

MOST_BYTES = 64 * 1024


async def read_object(request: Request[State]) -> Mapping[str, Any]:
    """Return the fields of a body of up to MOST_BYTES.

    Raises:
        InputError: it is not JSON, or no object.
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
            content = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise InputError(f"the request is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"the request is {json_type(content)}; allowed: an object")
    return content
