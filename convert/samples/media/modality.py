"""The operations that a conversion needs on one kind of media."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from convert.recipe import Loaded
from runtime.engine.session import Feeds


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
    read: Callable[[bytes], Any]  # decodes a file as served; raises InputError
    simplify: Callable[[Any], Any]  # removes detail, so that the encoded file is small
    encode: Callable[[Any], bytes]  # to a file that `read` takes
    to_feeds: Callable[[Any, Loaded], Feeds]  # preprocesses as served; batch axis 1
    # sets the clinical condition of patient number i; media without conditions are unchanged
    with_condition: Callable[[Any, int], Any] = _unchanged
    # the model's name for that condition; None: nothing is known about the patient
    condition_name: Callable[[Any, Loaded], str | None] = _no_condition
    validation_count: int = 16  # synthetic samples to validate with, and as many to test with
