"""The operations that a conversion needs on one kind of media."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from convert.recipe import Loaded
from runtime.engine.session import Feeds

Warn = Callable[[str], None]  # takes a sentence about a file


def ignore_warning(warning: str) -> None:
    """Drop a warning about a file."""
    del warning


class Reader(Protocol):
    """Decode a file as served; raises InputError."""

    def __call__(self, data: bytes, /, warn: Warn = ignore_warning) -> Any:
        """Return the medium, and tell what its reader should know."""
        ...


class FeedMaker(Protocol):
    """Preprocess a medium as served."""

    def __call__(self, medium: Any, loaded: Loaded, /, warn: Warn = ignore_warning) -> Feeds:
        """Return arrays of batch axis 1, and tell what the reader of the file should know."""
        ...


def _unchanged(medium: Any, number: int) -> Any:
    del number
    return medium


def _no_condition(medium: Any, loaded: Loaded) -> str | None:
    del medium, loaded
    return None


@dataclass(frozen=True, slots=True)
class Modality:
    """One kind of media: how to generate and read it, and how to make a graph's input of it.

    A medium is an image, a waveform, a text or a `GaitClip`; `read` may return the file itself
    where decoding depends on the model.
    """

    noun: str  # plural, for messages: "images"
    suffixes: frozenset[str]  # of the files that are read from a folder
    generate: Callable[[int, int], list[Any]]  # (split, count) to synthetic media
    read: Reader
    simplify: Callable[[Any], Any]  # removes detail, so that the encoded file is small
    encode: Callable[[Any], bytes]  # to a file that `read` takes
    to_feeds: FeedMaker
    # sets the clinical condition of patient number i; media without conditions are unchanged
    with_condition: Callable[[Any, int], Any] = _unchanged
    # the model's name for that condition; None: nothing is known about the patient
    condition_name: Callable[[Any, Loaded], str | None] = _no_condition
    validation_count: int = 16  # synthetic samples to validate with, and as many to test with
