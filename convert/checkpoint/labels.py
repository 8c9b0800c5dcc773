"""Class names: from a file of the user's, from what training scripts save, and FER2013's."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convert.errors import LabelsError

MOST_BYTES = 10_000_000  # 21,000 classes of ImageNet have 1 MB
ENDINGS = (".txt", ".json")
# seven emotions in that data set's own order
FER2013 = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def fer2013_labels(count: int) -> tuple[str, ...]:
    """Return FER2013's names for its count of classes, seven; () for any other count."""
    return FER2013 if count == len(FER2013) else ()


def read_labels_file(path: Path) -> tuple[str, ...]:
    """Class names in output order.

    Args:
        path: .json: a list of names, {index: name} or {name: index}; any other ending: text, one
            name a line.

    Raises:
        LabelsError: missing, empty, not text or JSON, an empty line, a name twice, an index that
            is missing.
    """
    text = _text(path)
    try:
        if path.suffix.lower() == ".json":
            return ordered_labels(_json(text))
        return ordered_labels(_lines(text))
    except LabelsError as error:
        raise LabelsError(f"{path}: {error}") from error


def ordered_labels(names: Any) -> tuple[str, ...]:
    """Names by index.

    Args:
        names: a list of str, {index: name} (indices as int, or as text as JSON has them) or
            {name: index}.

    Raises:
        LabelsError: none, not text, an empty name, a name twice, indices that are not 0 to K - 1.
    """
    if isinstance(names, Mapping):
        names = _by_index(names)
    if not isinstance(names, list | tuple):
        raise LabelsError(f"holds a {type(names).__name__}; needed: a list of names")
    if not names:
        raise LabelsError("holds no names")
    for index, name in enumerate(names):
        if not isinstance(name, str) or not name.strip():
            raise LabelsError(f"name {index} is {name!r}; needed: text that is not empty")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise LabelsError(f"{twice[0]!r} stands there more than once; each class has its own name")
    return tuple(names)


def _by_index(names: Mapping[Any, Any]) -> list[Any]:
    pairs = [_pair(key, value) for key, value in names.items()]
    by_index = dict(pairs)
    if sorted(by_index) != list(range(len(names))):
        found = ", ".join(str(index) for index, _ in sorted(pairs)[:8])
        raise LabelsError(
            f"has the indices {found}{', ...' if len(pairs) > 8 else ''}; "
            f"needed: each of 0 to {len(names) - 1} once"
        )
    return [by_index[index] for index in range(len(names))]


def _pair(key: Any, value: Any) -> tuple[int, Any]:
    """Index and name, whichever of the two is the key; a number as text is a key of JSON's."""
    for index, name in ((key, value), (value, key)):
        if isinstance(index, int) and not isinstance(index, bool) and isinstance(name, str):
            return index, name
    if isinstance(key, str) and key.isdecimal() and isinstance(value, str):
        return int(key), value
    raise LabelsError(f"{key!r}: {value!r} is no index and name")


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LabelsError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > MOST_BYTES:
        raise LabelsError(f"{path}: {len(data)} bytes; labels have at most {MOST_BYTES}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LabelsError(f"{path}: not UTF-8 text (byte {error.start})") from error


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError) as error:
        raise LabelsError(f"not JSON ({error})") from error


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if twice:
        raise LabelsError(f"{twice[0]!r} stands there more than once; each class has its own name")
    return dict(pairs)


def _lines(text: str) -> list[str]:
    lines = [line.strip() for line in text.rstrip().splitlines()]
    if "" in lines:
        raise LabelsError(f"line {lines.index('') + 1} is empty; needed: one name a line")
    return lines
