"""The interpreter's switch interval."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

INTERVAL_S = 0.001


@contextmanager
def switching_threads_sooner() -> Iterator[None]:
    """Let a thread that computes in Python give way to the event loop after 1 ms instead of 5.

    The loop takes the interpreter's lock some ten times for one request. serve/DECISIONS.md has
    the figures.
    """
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(INTERVAL_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before_s)
