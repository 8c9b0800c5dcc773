"""Names of emotions: synonyms map to one name, so that classifiers can vote together."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

_SYNONYMS: tuple[tuple[str, ...], ...] = (  # the first of each row is the canonical name
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
_CANONICAL = {name: names[0] for names in _SYNONYMS for name in names}


def canonical_name(label: str) -> str:
    """Return the canonical name of an emotion; an unknown label in lower case."""
    folded = label.strip().casefold()
    return _CANONICAL.get(folded, folded)


def names_emotions(labels: Iterable[str]) -> bool:
    """Check that at least two of the labels are emotions."""
    return len({canonical_name(label) for label in labels} & set(_CANONICAL.values())) > 1


def label_order(labels: Sequence[str], target: Sequence[str]) -> NDArray[np.int64] | None:
    """Return the index in `labels` of each label of `target`, synonyms being equal.

    Args:
        labels: of one classifier.
        target: of the classifier whose order the result follows.

    Returns:
        (K,) int64, so that `probabilities[result]` are in the order of `target`; None if the two
        classifiers do not have the same labels.
    """
    if len(labels) != len(target):
        return None
    names, target_names = _distinct_names(labels), _distinct_names(target)
    if set(names) != set(target_names):
        return None
    return np.array([names.index(name) for name in target_names], np.int64)


def _distinct_names(labels: Sequence[str]) -> list[str]:
    names = [canonical_name(label) for label in labels]
    # a classifier with both "fear" and "scared" means two emotions: its labels stay as they are
    return names if len(set(names)) == len(names) else [label.strip() for label in labels]
