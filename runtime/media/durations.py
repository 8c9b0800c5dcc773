"""The limit on how long a sound or a video may be."""

import math

from runtime.errors import TooLargeError


def check_duration(subject: str, seconds: float, max_seconds: float) -> None:
    """Refuse what is longer than max_seconds.

    The sentence rounds up to tenths: rounded to the nearest, 30.04 s would read "is 30.0 s long;
    allowed: 30 s".

    Args:
        subject: begins the sentence, as "the sound".
        seconds: its duration.
        max_seconds: the longest duration allowed.

    Raises:
        TooLargeError: it is longer.
    """
    if seconds > max_seconds:
        tenths = math.ceil(round(seconds * 10, 6)) / 10
        raise TooLargeError(f"{subject} is {tenths:.1f} s long; allowed: {max_seconds:g} s")
