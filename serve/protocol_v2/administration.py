"""Let only those change the repository who have the administrator's key."""

from typing import Any

import orjson
from starlette.requests import Request

from runtime.errors import InputError
from serve.http.administrator import check_key
from serve.http.body import receive_body
from serve.protocol_v2.fields import object_of, parameters_of
from serve.state import State

MOST_BYTES = 64 * 1024  # of a request
OVERRIDES = ("file:", "config")  # begin parameters that bring a model or its configuration


def check_administrator(request: Request[State]) -> None:
    """Refuse a request without the administrator's key.

    Raises:
        ForbiddenError: the key is missing or wrong, or the server has none.
    """
    key = request.state["settings"].admin_key
    check_key(request.headers.get("authorization", ""), key, what="models are loaded and unloaded")


async def read_parameters(request: Request[State]) -> dict[str, Any]:
    """Return the content of a request for the repository; an empty body is an empty object.

    Raises:
        InputError: it is no JSON object, or brings a model or its configuration.
    """
    state = request.state
    limit_bytes, timeout_s = MOST_BYTES, state["settings"].timeout_s
    async with receive_body(
        request, limit_bytes=limit_bytes, timeout_s=timeout_s, budget=state["budget"]
    ) as body:
        try:
            content = orjson.loads(body or b"{}")
        except orjson.JSONDecodeError as error:
            raise InputError(f"the request is not JSON: {error}") from None
    fields = dict(object_of(content, "the request"))
    for name in parameters_of(fields, "the request"):
        if name.startswith(OVERRIDES):
            raise InputError(
                f"the request has the parameter {name[:64]!r}; models come from the directory of "
                "the server alone"
            )
    return fields
