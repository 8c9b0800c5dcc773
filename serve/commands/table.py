"""The table of commands. Imports nothing that takes time."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

# by name of the module: what the command does, for --help
COMMANDS: Mapping[str, str] = {
    "ab": "compare the default version of each model with its candidate",
    "doctor": "write a debug bundle without secrets and payloads",
    "key": "make, list and revoke API keys",
    "monitor": "print the figures of a running server every second",
    "plan": "tell how many replicas a load needs, from the artifacts' measurements",
    "route": "show and change which version of a model answers",
    "simulate": "tell what a load does to replicas and their number, by the server's scheduling",
}

Main = Callable[[Sequence[str]], int]


def find_command(arguments: Sequence[str]) -> Main | None:
    """Return the `main` of the command that the arguments begin with; None: they are flags."""
    if not arguments or arguments[0] not in COMMANDS:
        return None
    main: Main = import_module(f"serve.commands.{arguments[0]}").main
    return main


def command_help() -> str:
    """Return the lines of --help about the commands."""
    lines = "\n".join(f"  {name:10} {text}" for name, text in COMMANDS.items())
    return f"commands, each with a --help of its own:\n{lines}" if lines else ""
