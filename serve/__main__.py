"""`python -m serve`: load the models, then serve until SIGTERM or SIGINT."""

import os
import sys

from serve.lifecycle.signals import Signals


def main() -> int:
    """Take the signals, then import the server, which lasts longer, and run it."""
    signals = Signals()
    signals.catch()
    from serve.lifecycle import command

    return command.main(None, signals)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # without waiting for threads: native code that still runs cannot be stopped
    os._exit(code)
