"""The header fields of a request that make it a job: Prefer and Idempotency-Key."""

import re

from starlette.datastructures import Headers

from runtime.errors import InputError
from serve.text.messages import repr_truncated

PREFER = "Prefer"
IDEMPOTENCY_KEY = "Idempotency-Key"
APPLIED = {"Preference-Applied": "respond-async"}
RESPOND_ASYNC = "respond-async"
LONGEST_KEY = 255
LONGEST_PREFER = 1024  # a longer list of preferences is ignored

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_KEY = re.compile(r"[\x21-\x7e]+")


def prefers_async(headers: Headers) -> bool:
    """Return whether the client prefers an asynchronous answer (RFC 7240)."""
    values = headers.getlist(PREFER)
    if not values:
        return False
    text = ",".join(values)
    if len(text) > LONGEST_PREFER:
        return False
    text = _QUOTED.sub('""', text)
    return any(part.partition(";")[0].strip().lower() == RESPOND_ASYNC for part in text.split(","))


def idempotency_key(headers: Headers) -> str | None:
    """Return the key of a request; None without one. The quotes around it may be missing.

    Raises:
        InputError: it is empty, too long, or has other characters.
    """
    text = headers.get(IDEMPOTENCY_KEY)
    if text is None:
        return None
    key = text.strip()
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if len(key) > LONGEST_KEY or not _KEY.fullmatch(key):
        raise InputError(
            f"{IDEMPOTENCY_KEY} is {repr_truncated(text)}; allowed: 1 to {LONGEST_KEY} visible "
            'ASCII characters, for example "8e03978e-40d5-43dd-bc93-6894a57f9324"'
        )
    return key
