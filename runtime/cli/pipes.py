"""End a command quietly when the reader of its output is gone: `| head` has seen enough."""

import os
import select
import sys
from collections.abc import Callable
from typing import TextIO

BROKEN_PIPE = 141  # the exit code that shells give SIGPIPE


def until_closed(command: Callable[[], int]) -> int:
    """Run a command and write all of its output.

    Returns:
        Its exit code; BROKEN_PIPE if standard output or error is a pipe that nobody reads any more.

    Raises:
        BrokenPipeError: of another pipe or connection.
    """
    try:
        try:
            return command()
        finally:  # also after --help, which raises SystemExit
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        streams = [stream for stream in (sys.stdout, sys.stderr) if stream is not None]
        broken = [stream for stream in streams if not _has_reader(stream)]
        if not broken:
            raise
        for stream in broken:  # at exit Python would write to it again and complain
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return BROKEN_PIPE


def _has_reader(stream: TextIO) -> bool:
    """Return False for a pipe or a socket whose other end is closed."""
    poll = select.poll()
    poll.register(stream.fileno(), 0)  # errors are always reported
    return not poll.poll(0)
