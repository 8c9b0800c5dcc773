"""How alike images are: one with another, or one with many; by embeddings, kept or made now."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.arrays import Image
from runtime.artifact.spec import SimilarityScale
from runtime.errors import InputError
from runtime.model import Model
from runtime.predict.prepare import Bounds
from runtime.results import Embedding

UNCALIBRATED = "no pairs were judged for this model: compare cosines with each other, not a limit"
_NORM_TOLERANCE = 1e-3  # of an embedding that comes back; JSON keeps float32 as it is
_MOST_NUMBERS = 65_536  # of an embedding that comes back
_MOST_BYTES = 32 * _MOST_NUMBERS  # of its JSON


@dataclass(frozen=True, slots=True)
class Compared:
    """One image against another."""

    cosine: float  # in [-1, 1]
    score: float | None  # in [0, 1]; None where the model is not calibrated

    def to_json(self) -> dict[str, float | None]:
        """`cosine` and `score`."""
        return {"cosine": self.cosine, "score": self.score}


@dataclass(frozen=True, slots=True)
class Similarity:
    """One image against others."""

    first: Embedding
    others: tuple[Embedding, ...]  # M, at least one
    compared: tuple[Compared, ...]  # M, in the same order
    scale: SimilarityScale | None  # None: not calibrated

    @property
    def best(self) -> int:
        """Which of the others is most alike."""
        return int(np.argmax([each.cosine for each in self.compared]))

    def to_json(self, *, embeddings: bool = False) -> dict[str, Any]:
        """`score`, `cosine`, `calibration`; of several, those of the best, and all of them.

        With several others `best` is the index of the most alike and `compared` has the scores of
        all, in order. `embeddings` adds them: of the first, and a list of the others.
        """
        answer: dict[str, Any] = {**self.compared[self.best].to_json(), **_calibration(self.scale)}
        if len(self.compared) > 1:
            answer["best"] = self.best
            answer["compared"] = [each.to_json() for each in self.compared]
        if embeddings:
            others = [each.to_json() for each in self.others]
            answer["embeddings"] = {"first": self.first.to_json(), "others": others}
        return answer


def similarity(
    first: bytes | Image | Embedding,
    others: Sequence[bytes | Image | Embedding],
    model: Model,
    *,
    bounds: Bounds | None = None,
) -> Similarity:
    """Compare an image with one or many.

    Args:
        first: an encoded image, (H, W, 3) uint8 RGB, or an embedding of one: an Embedding, or its
            JSON as bytes, as it was answered.
        others: the same, at least one.
        model: of the task image-feature-extraction.
        bounds: the largest image; None for the defaults.

    Raises:
        InputError: no image, too large a one, or an embedding that this model did not make.
        ModelOutputError: the embedding holds NaN or infinity.
    """
    model.require_task("image-feature-extraction")
    if not others:
        raise InputError("there is nothing to compare with; needed: at least one image")
    mine = embed(first, model, bounds=bounds)
    theirs = tuple(embed(other, model, bounds=bounds) for other in others)
    scale = model.spec.similarity
    compared = tuple(compare(mine, other, scale) for other in theirs)
    return Similarity(mine, theirs, compared, scale)


def compare(first: Embedding, other: Embedding, scale: SimilarityScale | None) -> Compared:
    """Compare two embeddings.

    Raises:
        InputError: they are of different models or digests.
    """
    if (first.model, first.digest) != (other.model, other.digest):
        found = f"{_named(first)} and {_named(other)}"
        raise InputError(f"the embeddings are of {found}; allowed: of one model and digest")
    # rounding may leave the dot product of two unit vectors just outside
    cosine = float(np.clip(np.dot(first.values, other.values), -1.0, 1.0))
    return Compared(cosine, None if scale is None else score(cosine, scale))


def score(cosine: float, scale: SimilarityScale) -> float:
    """How alike a pair of that cosine is, in [0, 1]."""
    return float(np.interp(cosine, scale.cosines, scale.scores))


def embed(
    image: bytes | Image | Embedding, model: Model, *, bounds: Bounds | None = None
) -> Embedding:
    """The embedding of an image, or the one given where it is this model's.

    Raises:
        InputError: no image, or an embedding that this model did not make.
        ModelOutputError: the embedding holds NaN or infinity.
    """
    if isinstance(image, bytes) and image.lstrip()[:1] == b"{":  # no format of images begins so
        image = read_embedding(image)
    if isinstance(image, Embedding):
        return _checked(image, model)
    result = model.predict(image, bounds=bounds)
    assert isinstance(result, Embedding)  # the task's result
    return result


def read_embedding(content: bytes) -> Embedding:
    """Read an embedding from the JSON that it was answered as: the result, or the whole answer.

    Raises:
        InputError: it is none.
    """
    if len(content) > _MOST_BYTES:
        raise InputError(f"the embedding has {len(content)} bytes; allowed: {_MOST_BYTES}")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the embedding is not JSON: {error}") from None
    if isinstance(found, dict) and isinstance(found.get("result"), dict):
        found = {**found, **found["result"]}
    wanted = {"model": str, "version": int, "digest": str, "embedding": list}
    for name, kind in wanted.items():
        value = found.get(name) if isinstance(found, dict) else None
        if not isinstance(value, kind) or isinstance(value, bool):
            needed = "model, version, digest and embedding, as they were answered"
            raise InputError(f"the embedding has no {name}; needed: {needed}")
    return Embedding(found["model"], found["version"], found["digest"], _values(found))


def _values(found: Mapping[str, Any]) -> NDArray[np.float32]:
    values = found["embedding"]
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if not numbers or not 1 <= len(values) <= _MOST_NUMBERS:
        allowed = f"a list of 1 to {_MOST_NUMBERS} numbers"
        raise InputError(f"the embedding is not {allowed}")
    try:
        with np.errstate(over="ignore"):  # infinity is refused with its norm
            return np.array(values, np.float64).astype(np.float32)
    except OverflowError:  # an integer of hundreds of digits
        raise InputError("the embedding holds a number that is too large") from None


def _checked(embedding: Embedding, model: Model) -> Embedding:
    made, manifest = embedding, model.manifest
    if (made.model, made.digest) != (manifest.id, manifest.digest):
        own = f"{manifest.id}, version {manifest.version}, digest {manifest.digest}"
        raise InputError(
            f"the embedding is of {_named(made)}; this is {own}: embeddings of different digests "
            "do not compare; embed the image again"
        )
    shape = next(tensor.shape for tensor in model.spec.outputs if tensor.name == "embedding")
    norm = float(np.linalg.norm(made.values.astype(np.float64)))
    if made.values.size != shape[-1] or not abs(norm - 1) <= _NORM_TOLERANCE:
        found = f"{made.values.size} numbers of norm {norm:.4g}"
        raise InputError(f"the embedding has {found}; allowed: {shape[-1]} of norm 1")
    return embedding


def _named(embedding: Embedding) -> str:
    digest = embedding.digest[:64]  # as others sent it
    return f"{embedding.model[:64]}, version {embedding.version}, digest {digest}"


def _calibration(scale: SimilarityScale | None) -> dict[str, str]:
    if scale is None:
        return {"calibration": "uncalibrated", "note": UNCALIBRATED}
    return {"calibration": scale.pairs}
