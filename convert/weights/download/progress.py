"""Show the progress of a download: one line that is rewritten, or a line now and then in a log."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from convert.weights.download.transfer import Progress

TERMINAL_S = 0.2  # between two updates on a terminal
LOG_S = 30.0  # between two lines in a log


@contextmanager
def progress_line(name: str, address: str, stream: TextIO) -> Iterator[Progress]:
    """Print where a file comes from, and give a function that prints how much of it is here."""
    terminal = stream.isatty()
    pause = TERMINAL_S if terminal else LOG_S
    last = time.monotonic()
    width = 0
    print(f"{name}: from {address}", file=stream, flush=True)

    def show(received: int, size: int | None) -> None:
        nonlocal last, width
        now = time.monotonic()
        if now - last < pause and not (terminal and received == size):
            return
        last = now
        line = _line(name, received, size)
        width = max(width, len(line))
        print(line.ljust(width), end="\r" if terminal else "\n", file=stream, flush=True)

    try:
        yield show
    finally:
        if terminal and width:
            print(file=stream, flush=True)


def _line(name: str, received: int, size: int | None) -> str:
    if not size:
        return f"{name}: {received / 1e6:.1f} MB"
    return f"{name}: {received / 1e6:.1f} of {size / 1e6:.1f} MB ({received / size:.0%})"
