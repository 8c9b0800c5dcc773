"""Compare an image with one or many others by their embeddings.

Embeddings that the caller kept from earlier answers take the place of images.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from runtime.arrays import Image
from runtime.artifact.spec import SimilarityScale
from runtime.errors import InputError, TooLargeError
from runtime.media.images.decode import Photo
from runtime.model import Model
from runtime.predict.prepare import Bounds
from runtime.results import Embedding, EmbeddingJson

UNCALIBRATED = "the model has no similarity scale: compare cosines with each other, not a limit"
# Limits of an embedding that a caller sends back. JSON keeps float32 exactly.
_NORM_TOLERANCE = 1e-3
_MOST_NUMBERS = 65_536
_MOST_BYTES = 32 * _MOST_NUMBERS  # of its JSON
# In an embedding with its whole answer; each may become a Python object of twenty times its size.
_MOST_MARKS = {b"{": 64, b"[": 64, b'"': 4096, b",": _MOST_NUMBERS + 4096}


class ComparisonJson(TypedDict):
    """The similarity of two images."""

    cosine: Annotated[float, "-1 to 1"]
    score: Annotated[float | None, "0 to 1; null: the model was converted without labelled pairs"]


class ComparisonErrorJson(TypedDict):
    """The reason why an image cannot be compared."""

    error: str
    status: int | None


class EmbeddingsJson(TypedDict):
    """The embeddings of all images; null for one that cannot be compared."""

    first: EmbeddingJson
    others: list[EmbeddingJson | None]


class SimilarityJson(ComparisonJson):
    """The similarity of one image to the others, the best of them first of all."""

    calibration: Annotated[str, "the digest of the labelled pairs, or uncalibrated"]
    note: NotRequired[str]
    best: NotRequired[Annotated[int, "index of the most similar, if there are several"]]
    compared: NotRequired[list[ComparisonJson | ComparisonErrorJson]]
    embeddings: NotRequired[EmbeddingsJson]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The similarity of two images."""

    cosine: float  # in [-1, 1]
    score: float | None  # in [0, 1]; None where the model is not calibrated

    def to_json(self) -> ComparisonJson:
        """Return `cosine` and `score`."""
        return {"cosine": self.cosine, "score": self.score}


@dataclass(frozen=True, slots=True)
class Similarity:
    """The similarity of one image to others."""

    first: Embedding
    others: tuple[Embedding, ...]  # M, at least one
    compared: tuple[Comparison, ...]  # M, in the same order
    scale: SimilarityScale | None  # None: not calibrated

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return the warnings about the images' files, each once."""
        embeddings = (self.first, *self.others)
        return tuple(dict.fromkeys(w for one in embeddings for w in one.media_warnings))

    @property
    def best(self) -> int:
        """Return the index of the most similar of the others."""
        return int(np.argmax([comparison.cosine for comparison in self.compared]))

    def to_json(self, *, embeddings: bool = False) -> SimilarityJson:
        """Return `score`, `cosine` and `calibration`, of the best if there are several others.

        With several others, `best` is the index of the most similar one and `compared` lists the
        scores of all, in order.

        Args:
            embeddings: add the embedding of the first image and a list of the others'.
        """
        best = self.compared[self.best]
        answer: SimilarityJson = {
            "cosine": best.cosine,
            "score": best.score,
            "calibration": "uncalibrated" if self.scale is None else self.scale.pairs,
        }
        if self.scale is None:
            answer["note"] = UNCALIBRATED
        if len(self.compared) > 1:
            answer["best"] = self.best
            answer["compared"] = [comparison.to_json() for comparison in self.compared]
        if embeddings:
            others: list[EmbeddingJson | None] = [one.to_json() for one in self.others]
            answer["embeddings"] = {"first": self.first.to_json(), "others": others}
        return answer


def similarity(
    first: bytes | Photo | Image | Embedding,
    others: Sequence[bytes | Photo | Image | Embedding],
    model: Model,
    *,
    bounds: Bounds | None = None,
) -> Similarity:
    """Compare an image with one or many.

    Args:
        first: an encoded image, (H, W, 3) uint8 RGB, or an embedding of one: an Embedding, or its
            JSON as bytes, as an earlier answer held it.
        others: the same, at least one.
        model: a model for image-feature-extraction.
        bounds: the largest image; None for the defaults.

    Raises:
        InputError: an image cannot be decoded or is too large, or an embedding is not this model's.
        ModelOutputError: the embedding holds NaN or infinity.
    """
    model.require_task("image-feature-extraction")
    if not others:
        raise InputError("there is nothing to compare with; needed: at least one image")
    first = embed(first, model, bounds=bounds)
    embeddings = tuple(embed(other, model, bounds=bounds) for other in others)
    scale = model.spec.similarity
    compared = tuple(compare(first, other, scale) for other in embeddings)
    return Similarity(first, embeddings, compared, scale)


def compare(first: Embedding, other: Embedding, scale: SimilarityScale | None) -> Comparison:
    """Compare two embeddings.

    Raises:
        InputError: they are of different models or digests.
    """
    if (first.model, first.digest) != (other.model, other.digest):
        sources = f"{_format_source(first)} and {_format_source(other)}"
        raise InputError(f"the embeddings are of {sources}; allowed: of one model and digest")
    # rounding may put the dot product of two unit vectors just outside [-1, 1]
    cosine = float(np.clip(np.dot(first.values, other.values), -1.0, 1.0))
    return Comparison(cosine, None if scale is None else score(cosine, scale))


def score(cosine: float, scale: SimilarityScale) -> float:
    """Return the similarity score in [0, 1] of a pair with this cosine."""
    return float(np.interp(cosine, scale.cosines, scale.scores))


def embed(
    image: bytes | Photo | Image | Embedding, model: Model, *, bounds: Bounds | None = None
) -> Embedding:
    """Return the embedding of an image; check and return an embedding that the caller kept.

    Raises:
        InputError: the image cannot be decoded, or the embedding is not this model's.
        ModelOutputError: the embedding holds NaN or infinity.
    """
    if isinstance(image, bytes) and image.lstrip()[:1] == b"{":  # no image file begins with it
        image = read_embedding(image)
    if isinstance(image, Embedding):
        return _check_embedding(image, model)
    result = model.predict(image, bounds=bounds)
    assert isinstance(result, Embedding)  # the result of this task
    return result


def read_embedding(content: bytes) -> Embedding:
    """Parse an embedding from the JSON of an earlier answer: its result, or the whole answer.

    Raises:
        InputError: the content is not JSON, or lacks a field.
        TooLargeError: it is too long, or holds too many values.
    """
    if len(content) > _MOST_BYTES:
        raise TooLargeError(f"the embedding has {len(content)} bytes; allowed: {_MOST_BYTES}")
    for mark, allowed in _MOST_MARKS.items():
        count = content.count(mark)
        if count > allowed:
            raise TooLargeError(
                f"the embedding has {count} of the character {mark.decode()}; allowed: {allowed}"
            )
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the embedding is not JSON: {error}") from None
    if isinstance(fields, dict) and isinstance(fields.get("result"), dict):
        fields = {**fields, **fields["result"]}
    types = {"model": str, "version": int, "digest": str, "embedding": list}
    for name, expected in types.items():
        value = fields.get(name) if isinstance(fields, dict) else None
        if not isinstance(value, expected) or isinstance(value, bool):
            needed = "model, version, digest and embedding, as they were answered"
            raise InputError(f"the embedding has no {name}; needed: {needed}")
    return Embedding(
        fields["model"], fields["version"], fields["digest"], _vector(fields["embedding"])
    )


def _vector(values: Sequence[Any]) -> NDArray[np.float32]:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if not numbers or not 1 <= len(values) <= _MOST_NUMBERS:
        allowed = f"a list of 1 to {_MOST_NUMBERS} numbers"
        raise InputError(f"the embedding is not {allowed}")
    try:
        with np.errstate(over="ignore"):  # the check of the norm refuses infinity
            return np.array(values, np.float64).astype(np.float32)
    except OverflowError:  # an integer of hundreds of digits
        raise InputError("the embedding holds a number that is too large") from None


def _check_embedding(embedding: Embedding, model: Model) -> Embedding:
    manifest = model.manifest
    if (embedding.model, embedding.digest) != (manifest.id, manifest.digest):
        own = f"{manifest.id}, version {manifest.version}, digest {manifest.digest}"
        raise InputError(
            f"the embedding is of {_format_source(embedding)}; this is {own}: embeddings of "
            "different digests do not compare; embed the image again"
        )
    shape = next(tensor.shape for tensor in model.spec.outputs if tensor.name == "embedding")
    norm = float(np.linalg.norm(embedding.values.astype(np.float64)))
    if embedding.values.size != shape[-1] or not abs(norm - 1) <= _NORM_TOLERANCE:
        size = f"{embedding.values.size} numbers of norm {norm:.4g}"
        raise InputError(f"the embedding has {size}; allowed: {shape[-1]} of norm 1")
    return embedding


def _format_source(embedding: Embedding) -> str:
    digest = embedding.digest[:64]  # a caller may send any length
    return f"{embedding.model[:64]}, version {str(embedding.version)[:64]}, digest {digest}"
