"""What a kind of media is to a conversion."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from convert.recipe import Loaded
from runtime.engine.session import Feeds


def _unchanged(medium: Any, number: int) -> Any:
    del number
    return medium


def _nothing(medium: Any, loaded: Loaded) -> str | None:
    del medium, loaded
    return None


@dataclass(frozen=True, slots=True)
class Modality:
    """How media of one kind are made, read as served, and brought to a graph's input."""

    noun: str  # in messages: "images"
    suffixes: frozenset[str]  # of the files that count in a directory
    generate: Callable[[int, int], list[Any]]  # split of `convert.samples.procedural`, and how many
    read: Callable[[bytes], Any]  # the served decoding; raises InputError
    simplify: Callable[[Any], Any]  # the same with less in it, so that its file is small
    encode: Callable[[Any], bytes]  # a file that `read` gives back
    to_feeds: Callable[[Any, Loaded], Feeds]  # the served geometry; batch axis 1
    # the same, with what is known about the patient number so and so; and how the model calls that
    with_condition: Callable[[Any, int], Any] = _unchanged
    condition_name: Callable[[Any, Loaded], str | None] = _nothing
    validation_count: int = (
        16  # drawings that a search goes by, and as many more that judge what it found
    )
