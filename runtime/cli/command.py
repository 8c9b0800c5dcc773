"""What a command is made of."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.draw import Picture
from runtime.predict.prepare import Bounds
from runtime.results import Provenance


@dataclass(frozen=True, slots=True)
class Answer:
    """What is told of one file."""

    provenance: Provenance
    result: dict[str, Any]  # as the server's `result`
    lines: tuple[str, ...]  # for people: the first follows the file's name
    warnings: tuple[str, ...] = ()
    picture: Callable[[], Picture] | None = None  # None: there is nothing to be seen


@dataclass(frozen=True, slots=True)
class ReadyCommand:
    """A command that is ready: its models are loaded."""

    ask: Callable[[Path], Answer]
    suffixes: frozenset[str]  # of the files that are looked for in folders
    before: Callable[[int], None] = field(default=lambda count: None)  # with the number of files


@dataclass(frozen=True, slots=True)
class Command:
    """A task on the command line."""

    name: str
    summary: str
    declare: Callable[[argparse.ArgumentParser], None]  # its own options
    open: Callable[[argparse.Namespace, Bounds], ReadyCommand]


def share(value: float) -> str:
    """A probability as people read it."""
    return f"{value:.2f}"
