"""What classifiers call an emotion: one name for each, so that members may vote together."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

_NAMES: tuple[tuple[str, ...], ...] = (  # the first of each stands for all of them
    ("angry", "anger"),
    ("disgust", "disgusted"),
    ("fear", "fearful", "afraid", "scared"),
    ("happy", "happiness", "joy", "joyful"),
    ("sad", "sadness"),
    ("surprise", "surprised"),
    ("neutral", "neutrality"),
    ("contempt", "contemptuous"),
    ("calm", "calmness"),
    ("boredom", "bored"),
    ("confusion", "confused"),
    ("excitement", "excited"),
)
_ONE_NAME = {name: names[0] for names in _NAMES for name in names}


def canonical_name(label: str) -> str:
    """The name that stands for a label and its synonyms; a label that is unknown, in lower case."""
    folded = label.strip().casefold()
    return _ONE_NAME.get(folded, folded)


def speaks_of_emotions(labels: Iterable[str]) -> bool:
    """Whether at least two emotions are among the labels."""
    return len({canonical_name(label) for label in labels} & set(_ONE_NAME.values())) > 1


def in_order_of(labels: Sequence[str], wanted: Sequence[str]) -> NDArray[np.int64] | None:
    """Where each of the wanted labels stands in `labels`.

    Args:
        labels: of one classifier.
        wanted: of another.

    Returns:
        (K,) int64, so that `probabilities[result]` are in the order of `wanted`; None where the two
        do not have the same labels under whatever names.
    """
    if len(labels) != len(wanted):
        return None
    given, needed = _distinct(labels), _distinct(wanted)
    if set(given) != set(needed):
        return None
    return np.array([given.index(name) for name in needed], np.int64)


def _distinct(labels: Sequence[str]) -> list[str]:
    names = [canonical_name(label) for label in labels]
    # a classifier that tells fear from being scared means two things by them
    return names if len(set(names)) == len(names) else [label.strip() for label in labels]
