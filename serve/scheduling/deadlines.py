"""The seconds that a client waits for its request to start."""

import re

from runtime.errors import InputError
from serve.text.messages import repr_truncated

HEADER = "X-Request-Timeout"
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


def request_timeout(text: str | None) -> float | None:
    """Return the seconds of the header X-Request-Timeout; None if it was not sent.

    Raises:
        InputError: it is no positive decimal number.
    """
    if text is None:
        return None
    seconds = float(text) if _SECONDS.fullmatch(text) else 0.0
    if not seconds:
        value = repr_truncated(text)
        raise InputError(f"{HEADER} is {value}; allowed: seconds above 0, for example 2.5")
    return seconds
