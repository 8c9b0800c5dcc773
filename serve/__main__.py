"""`python -m serve`: load the models, then serve until SIGTERM or SIGINT; or run a command."""

import os
import sys

from runtime.cli.pipes import until_closed
from serve.commands.table import command_help, find_command
from serve.lifecycle.signals import Signals


def main() -> int:
    """Take the signals, then import the server, which lasts longer, and run it."""
    arguments = sys.argv[1:]
    if (command_main := find_command(arguments)) is not None:
        return until_closed(lambda: command_main(arguments[1:]))
    signals = Signals()
    signals.catch()
    _open_closed_streams()
    from serve.lifecycle import command

    return until_closed(lambda: command.main(None, signals, command_help()))


def _open_closed_streams() -> None:
    """Open /dev/null in place of each standard stream that the parent process has closed.

    Otherwise a model or a connection would get the descriptor, and what is meant for the log.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # without waiting for threads: native code that still runs cannot be stopped
    os._exit(code)
