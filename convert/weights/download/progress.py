"""What is shown while a file comes: a line that is rewritten, or, in a log, one now and then."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from convert.weights.download.transfer import Progress

TERMINAL_S = 0.2
LOG_S = 30.0


@contextmanager
def shown(name: str, address: str, stream: TextIO) -> Iterator[Progress]:
    """Tell that a file comes, and how far it is."""
    terminal = stream.isatty()
    pause = TERMINAL_S if terminal else LOG_S
    last = time.monotonic()
    width = 0
    print(f"{name}: from {address}", file=stream, flush=True)

    def show(there: int, size: int | None) -> None:
        nonlocal last, width
        now = time.monotonic()
        if now - last < pause and not (terminal and there == size):
            return
        last = now
        line = _line(name, there, size)
        width = max(width, len(line))
        print(line.ljust(width), end="\r" if terminal else "\n", file=stream, flush=True)

    try:
        yield show
    finally:
        if terminal and width:
            print(file=stream, flush=True)


def _line(name: str, there: int, size: int | None) -> str:
    if not size:
        return f"{name}: {there / 1e6:.1f} MB"
    return f"{name}: {there / 1e6:.1f} of {size / 1e6:.1f} MB ({there / size:.0%})"
