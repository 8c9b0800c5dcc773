"""The parameter `timeout` of an infer request."""

import orjson

from serve.text.integers import parse_integer

MOST_BYTES = 64 * 1024  # of JSON that is parsed before the request waits, on the event loop


def body_timeout(body: bytes, header_length: str | None) -> float | None:
    """Return the seconds that an infer request may wait until it starts; None if it says nothing.

    The parser of the request refuses a timeout that is ill-formed; here it counts as none. So does
    one in a body with more than 64 KiB of JSON, which must not hold the event loop.
    """
    length = len(body) if header_length is None else parse_integer(header_length, 0, len(body))
    if not length or length > MOST_BYTES or b'"timeout"' not in memoryview(body)[:length].tobytes():
        return None
    try:
        content = orjson.loads(memoryview(body)[:length])
    except orjson.JSONDecodeError:
        return None
    parameters = content.get("parameters") if isinstance(content, dict) else None
    timeout_us = parameters.get("timeout") if isinstance(parameters, dict) else None
    return timeout_us / 1e6 if type(timeout_us) is int and timeout_us > 0 else None
