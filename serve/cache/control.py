"""The request header Cache-Control: whether a stored answer may be given, and stored."""

import re
from dataclasses import dataclass

LONGEST_BYTES = 1024  # a longer header is ignored
_MAX_AGE = re.compile(r"max-age=\"?([0-9]{1,9})\"?")


@dataclass(frozen=True, slots=True)
class Control:
    """Hold what a client asks of the cache."""

    may_read: bool = True
    may_store: bool = True
    max_age_s: int | None = None  # None: any


def control_of(header: str) -> Control:
    """Return what the value of Cache-Control asks; "" asks nothing."""
    if not header or len(header) > LONGEST_BYTES:
        return Control()
    directives = [part.strip().lower() for part in header.split(",")]
    if "no-store" in directives:
        return Control(may_read=False, may_store=False)
    ages = [int(match[1]) for match in map(_MAX_AGE.fullmatch, directives) if match]
    max_age_s = min(ages, default=None)
    return Control(may_read="no-cache" not in directives and max_age_s != 0, max_age_s=max_age_s)
