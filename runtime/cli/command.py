"""The parts of a command: its options, its answer to one file, and formats that commands share."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.arrays import Image
from runtime.predict.prepare import Bounds
from runtime.results import Classification, Provenance


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one file, as JSON, as text and as a picture."""

    provenance: Provenance
    result: Mapping[str, Any]  # equals the `result` of the server's answer
    lines: tuple[str, ...]  # for people: the first follows the file's name
    warnings: tuple[str, ...] = ()
    picture: Callable[[], Image] | None = None  # None: the answer cannot be drawn


@dataclass(frozen=True, slots=True)
class ReadyCommand:
    """A command whose options are checked and whose models are loaded."""

    answer: Callable[[Path], Answer]
    suffixes: frozenset[str]  # of the files that it takes from folders
    check_count: Callable[[int], None] = field(default=lambda count: None)  # number of files


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand of `python -m runtime`."""

    name: str
    summary: str
    add_options: Callable[[argparse.ArgumentParser], None]  # those that other commands lack
    prepare: Callable[[argparse.Namespace, Bounds], ReadyCommand]


def format_probability(value: float) -> str:
    """Format a probability with two decimals."""
    return f"{value:.2f}"


def format_top_class(result: Classification) -> str:
    """Format the most probable class and its probability: "happy 0.83"."""
    return f"{result.label} {format_probability(result.confidence)}"
