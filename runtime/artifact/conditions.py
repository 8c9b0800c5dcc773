"""Clinical conditions by name: the version's asset "conditions", and the vectors it holds."""

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.errors import ArtifactError, InputError


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a video model knows of the person: a vector for each condition that has a name."""

    names: tuple[str, ...]
    embeddings: NDArray[np.float32]  # (K, D), in the order of `names`
    rows: Mapping[str, int]  # every name and synonym, case folded

    def knows(self, condition: str) -> bool:
        """Whether any condition is called so."""
        return folded(condition) in self.rows

    def find(self, condition: str) -> str:
        """The name of a condition that is called so, by name or synonym, whatever the case.

        Raises:
            InputError: none is; those known are listed.
        """
        return self.names[self._row(condition)]

    def embed(self, condition: str) -> NDArray[np.float32]:
        """Its vector, (D,) float32.

        Raises:
            InputError: none is called so; those known are listed.
        """
        row: NDArray[np.float32] = self.embeddings[self._row(condition)]
        return row

    def _row(self, condition: str) -> int:
        row = self.rows.get(folded(condition))
        if row is None:
            known = ", ".join(self.names)
            raise InputError(f"condition {condition[:80]!r} is unknown; known: {known}")
        return row


def read_conditions(content: bytes, where: str, *, width: int) -> Conditions:
    """Read conditions.npz; its form: artifacts/README.md.

    Args:
        content: the file.
        where: the beginning of every message.
        width: D, what the graph takes.

    Raises:
        ArtifactError: not such a file, arrays that do not fit, or a name that occurs twice.
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
        found = f"{embeddings.dtype} {embeddings.shape}, {len(names)} names, {len(synonyms)} lists"
        raise ArtifactError(f"{where} holds {found}; needed: float32 (K, {width}), K and K")
    if not np.isfinite(embeddings).all():
        raise ArtifactError(f"{where} holds embeddings that are not finite numbers")
    rows: dict[str, int] = {}
    for name, row in _all_names(names, synonyms):
        if folded(name) in rows:
            raise ArtifactError(f"{where}: {name!r} stands there twice")
        rows[folded(name)] = row
    return Conditions(tuple(names), embeddings, rows)


def _all_names(names: list[str], synonyms: list[list[str]]) -> Iterator[tuple[str, int]]:
    for row, (name, others) in enumerate(zip(names, synonyms, strict=True)):
        yield from ((called, row) for called in (name, *others))


def _texts(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError(f"synonyms are {value!r}; allowed: a JSON list of texts")
    return value


def folded(name: str) -> str:
    """A name as it is compared: whatever the case and the spaces between words."""
    return " ".join(name.split()).casefold()
