"""The parameter `timeout` of an infer request."""

from collections.abc import Mapping
from typing import Any

import orjson

from runtime.errors import InputError
from serve.text.integers import parse_integer
from serve.text.messages import repr_truncated

MOST_BYTES = 64 * 1024  # of JSON that is parsed before the request waits, on the event loop


def parse_timeout(parameters: Mapping[str, Any]) -> float | None:
    """Return the seconds of the parameter `timeout`, in microseconds; None if it is absent or 0.

    Raises:
        InputError: it is no integer of 0 or more.
    """
    timeout_us = parameters.get("timeout", 0)
    if type(timeout_us) is not int or timeout_us < 0:
        value = repr_truncated(timeout_us)
        raise InputError(f"timeout of the request is {value}; allowed: microseconds, 0 for none")
    return timeout_us / 1e6 if timeout_us else None


def body_timeout(body: bytes, header_length: str | None) -> float | None:
    """Return the seconds that an infer request may wait until it starts; None if it says nothing.

    A body that is ill-formed says nothing: a worker refuses it. Nor does one with more than 64 KiB
    of JSON, which would hold the event loop.
    """
    length = len(body) if header_length is None else parse_integer(header_length, 0, len(body))
    if not length or length > MOST_BYTES:
        return None
    head = body[:length]
    if b'"timeout"' not in head:
        return None
    try:
        parameters = orjson.loads(head)["parameters"]
        return parse_timeout(parameters)
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError, InputError):
        return None
