"""Class names in output order: from a user's file or a checkpoint's settings; FER2013's names."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convert.errors import LabelsError

MAX_BYTES = 10_000_000  # 21,000 classes of ImageNet have 1 MB
ENDINGS = (".txt", ".json")
# the seven emotions in that data set's own order
FER2013 = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
SHOWN_INDICES = 8


def fer2013_labels(count: int) -> tuple[str, ...]:
    """Return FER2013's names for its count of classes, seven; () for any other count."""
    return FER2013 if count == len(FER2013) else ()


def read_labels_file(path: Path) -> tuple[str, ...]:
    """Read class names in output order from a file.

    Args:
        path: .json: a list of names, {index: name} or {name: index}; any other ending: text with
            one name a line.

    Raises:
        LabelsError: the file is missing, empty or neither text nor JSON; a line is empty; a name
            is there twice; an index is missing.
    """
    text = _read_text(path)
    try:
        if path.suffix.lower() == ".json":
            return ordered_labels(_parse_json(text))
        return ordered_labels(_parse_lines(text))
    except LabelsError as error:
        raise LabelsError(f"{path}: {error}") from error


def ordered_labels(names: Any) -> tuple[str, ...]:
    """Return class names in the order of their indices.

    Args:
        names: a list of str, {index: name} (indices as int, or as text as JSON writes them) or
            {name: index}.

    Raises:
        LabelsError: there are no names, one is empty or no text, one is there twice, or the
            indices are not 0 to K - 1.
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
    _check_unique(names, "label")
    return tuple(names)


def _check_unique(names: list[str] | tuple[str, ...], noun: str) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise LabelsError(f"{noun} {repeated[0]!r} is listed twice; {noun}s must be unique")


def _by_index(names: Mapping[Any, Any]) -> list[Any]:
    pairs = [_pair(key, value) for key, value in names.items()]
    by_index = dict(pairs)
    if sorted(by_index) != list(range(len(names))):
        listing = ", ".join(str(index) for index, _ in sorted(pairs)[:SHOWN_INDICES])
        raise LabelsError(
            f"has the indices {listing}{', ...' if len(pairs) > SHOWN_INDICES else ''}; "
            f"needed: each of 0 to {len(names) - 1} once"
        )
    return [by_index[index] for index in range(len(names))]


def _pair(key: Any, value: Any) -> tuple[int, Any]:
    """Return (index, name), whichever of the two is the key; JSON writes an index key as text."""
    for index, name in ((key, value), (value, key)):
        if isinstance(index, int) and not isinstance(index, bool) and isinstance(name, str):
            return index, name
    if isinstance(key, str) and key.isdecimal() and isinstance(value, str):
        return int(key), value
    raise LabelsError(f"{key!r}: {value!r} is no index and name")


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LabelsError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise LabelsError(f"{path}: {len(data)} bytes; labels have at most {MAX_BYTES}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LabelsError(f"{path}: not UTF-8 text (byte {error.start})") from error


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise LabelsError(f"not JSON ({error})") from error


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _check_unique([key for key, _ in pairs], "key")
    return dict(pairs)


def _parse_lines(text: str) -> list[str]:
    lines = [line.strip() for line in text.rstrip().splitlines()]
    if "" in lines:
        raise LabelsError(f"line {lines.index('') + 1} is empty; needed: one name a line")
    return lines
