"""The check of the length of sounds and clips."""

import math

from runtime.errors import TooLargeError


def check_duration(subject: str, seconds: float, max_seconds: float) -> None:
    """Check that a sound or a clip is not too long.

    The message rounds the duration up to tenths of a second: rounded to the nearest, 30.04 s would
    read "is 30.0 s long; allowed: 30 s".

    Args:
        subject: the beginning of the message, such as "the sound".
        seconds: its duration.
        max_seconds: the longest duration allowed.

    Raises:
        TooLargeError: it is longer.
    """
    if seconds > max_seconds:
        rounded_up = math.ceil(round(seconds * 10, 6)) / 10
        raise TooLargeError(f"{subject} is {rounded_up:.1f} s long; allowed: {max_seconds:g} s")
