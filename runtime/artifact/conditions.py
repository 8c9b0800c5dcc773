"""Clinical conditions by name: the version's asset "conditions", and the vectors it holds."""

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.errors import ArtifactError, InputError, TooLargeError

LONGEST_TEXT = 2000  # characters of a condition; text models read a page at most


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions that a video model knows by name, and the vector of each."""

    names: tuple[str, ...]
    embeddings: NDArray[np.float32]  # (K, D), in the order of `names`
    rows: Mapping[str, int]  # by name and synonym, normalized

    def knows(self, condition: str) -> bool:
        """Check whether a text is the name or a synonym of a condition.

        Raises:
            TooLargeError: it is longer than a page.
        """
        check_length(condition)
        return normalize_name(condition) in self.rows

    def find(self, condition: str) -> str:
        """Return the name of a condition from its name or a synonym, in any case.

        Raises:
            InputError: the condition is unknown; the message lists the known names.
            TooLargeError: it is longer than a page.
        """
        return self.names[self._row(condition)]

    def embed(self, condition: str) -> NDArray[np.float32]:
        """Return the vector of a condition, (D,) float32, from its name or a synonym.

        Raises:
            InputError: the condition is unknown; the message lists the known names.
            TooLargeError: it is longer than a page.
        """
        row: NDArray[np.float32] = self.embeddings[self._row(condition)]
        return row

    def _row(self, condition: str) -> int:
        check_length(condition)
        row = self.rows.get(normalize_name(condition))
        if row is None:
            names = ", ".join(self.names)
            raise InputError(f"condition {condition[:80]!r} is unknown; known: {names}")
        return row


def check_length(condition: str) -> None:
    """Refuse a condition that is longer than a page (TooLargeError), before it is compared."""
    if len(condition) > LONGEST_TEXT:
        raise TooLargeError(
            f"the condition has {len(condition)} characters; allowed: {LONGEST_TEXT}"
        )


def read_conditions(content: bytes, where: str, *, width: int) -> Conditions:
    """Read conditions.npz; artifacts/README.md describes its arrays.

    Args:
        content: the bytes of the file.
        where: the beginning of every error message.
        width: D of the graph's condition input.

    Raises:
        ArtifactError: the file has another format, its arrays do not fit each other or the graph,
            or a name is listed twice.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            names = [str(name) for name in arrays["names"]]
            synonyms = [_texts(json.loads(str(text))) for text in arrays["synonyms"]]
            embeddings = arrays["embeddings"]
    except (KeyError, ValueError, OSError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ArtifactError(f"{where} is no table of conditions: {error}") from error
    fits = embeddings.dtype == np.float32 and embeddings.shape == (len(names), width)
    if not fits or len(synonyms) != len(names) or not names:
        arrays_text = (
            f"{embeddings.dtype} {embeddings.shape}, {len(names)} names, {len(synonyms)} lists"
        )
        raise ArtifactError(f"{where} holds {arrays_text}; needed: float32 (K, {width}), K and K")
    if not np.isfinite(embeddings).all():
        raise ArtifactError(f"{where} holds embeddings that are not finite numbers")
    rows: dict[str, int] = {}
    for name, row in _all_names(names, synonyms):
        key = normalize_name(name)
        if key in rows:
            raise ArtifactError(f"{where}: {name!r} is listed twice")
        rows[key] = row
    return Conditions(tuple(names), embeddings, rows)


def _all_names(names: list[str], synonyms: list[list[str]]) -> Iterator[tuple[str, int]]:
    for row, (name, others) in enumerate(zip(names, synonyms, strict=True)):
        yield from ((synonym, row) for synonym in (name, *others))


def _texts(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError(f"synonyms are {value!r}; allowed: a JSON list of texts")
    return value


def normalize_name(name: str) -> str:
    """Return a name in lower case with single spaces, the form in which names are compared."""
    return " ".join(name.split()).casefold()
