"""End a command quietly when the reader of its output is gone: `| head` has seen enough."""

import os
import sys
from collections.abc import Callable

BROKEN_PIPE = 141  # the exit code that shells give SIGPIPE


def until_closed(command: Callable[[], int]) -> int:
    """Run a command and write all of its output.

    Returns:
        Its exit code; BROKEN_PIPE if standard output is a pipe that nobody reads any more.
    """
    try:
        try:
            return command()
        finally:  # also after --help, which raises SystemExit
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        # at exit Python would write to it again and complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
