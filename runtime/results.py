"""Results of models: frozen dataclasses; comments give shape, dtype and unit of each field.

`to_json` returns plain Python values, as the server and `--json` answer them.
"""

from dataclasses import dataclass, fields
from typing import Annotated, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

SILENT = "the sound is silent: the answer of the model means nothing"
SYNTHETIC_TRAINING = "trained on synthetic data, not a medical device"  # weights of that origin
DEGENERATE = "the mask is nearly constant: the model found no foreground"


class ClassificationJson(TypedDict):
    """The class of one input, and the probability of each."""

    label: Annotated[str, "the most probable class"]
    confidence: Annotated[float, "its probability, 0 to 1"]
    probabilities: Annotated[dict[str, float], "by class, the most probable first"]


class OptionalClassificationJson(TypedDict):
    """The class of one input; null, and no probabilities, if there is nothing to classify."""

    label: str | None
    confidence: float | None
    probabilities: dict[str, float]


class EmbeddingJson(TypedDict):
    """An embedding, which compares with those of the same digest."""

    model: str
    version: int
    digest: str
    dimensions: int
    embedding: Annotated[list[float], "a vector of length 1"]


class AlphaJson(TypedDict):
    """The mask of the foreground in numbers; `/v1/background` answers the picture."""

    height: int
    width: int
    foreground_fraction: float
    raw_minimum: float
    raw_maximum: float
    degenerate: Annotated[bool, "the mask is nearly constant: the model found no foreground"]


class BoxJson(TypedDict):
    """A rectangle in px of the upright picture."""

    x1: float
    y1: float
    x2: float
    y2: float


class DetectionJson(TypedDict):
    """A box that was found."""

    label: str
    score: Annotated[float, "0 to 1"]
    box: BoxJson
    keypoints: NotRequired[Annotated[list[list[float]], "x and y of each point, in px"]]


class DetectionsJson(TypedDict):
    """The boxes in one image, best first."""

    detections: list[DetectionJson]


class ProvenanceJson(TypedDict):
    """The artifact that computed an answer."""

    model: str
    version: int
    digest: Annotated[str, "embeddings compare only if their digests are equal"]
    variant: Annotated[str, "the file that ran: int8, int8-7bit, float or fp16"]
    weights_origin: Annotated[
        str, "pretrained; seeded: untrained, the result means nothing; synthetic; none: no model"
    ]
    weights: Annotated[str, "deprecated: the former name of weights_origin"]


@dataclass(frozen=True, slots=True)
class Classification:
    """Class probabilities of one input."""

    labels: tuple[str, ...]  # K names, in the order of `probabilities`
    probabilities: NDArray[np.float32]  # (K,) in [0, 1], sums to 1
    silent: bool = False  # True: the sound was silent, so the probabilities mean nothing
    media_warnings: tuple[str, ...] = ()  # about the file that was classified

    @property
    def label(self) -> str:
        """Return the name of the most probable class."""
        return self.labels[int(self.probabilities.argmax())]

    @property
    def confidence(self) -> float:
        """Return the probability of the most probable class, in [0, 1]."""
        return float(self.probabilities.max())

    def to_json(self) -> ClassificationJson:
        """Return `label`, `confidence` and `probabilities` by label, most probable first."""
        order = np.argsort(-self.probabilities, kind="stable")
        return {
            "label": self.label,
            "confidence": self.confidence,
            "probabilities": {self.labels[i]: float(self.probabilities[i]) for i in order},
        }


def classification_json(result: Classification | None) -> OptionalClassificationJson:
    """Return the JSON of a classification; for None the label is null and no class is listed."""
    if result is None:
        return {"label": None, "confidence": None, "probabilities": {}}
    content = result.to_json()
    return {
        "label": content["label"],
        "confidence": content["confidence"],
        "probabilities": content["probabilities"],
    }


@dataclass(frozen=True, slots=True)
class Embedding:
    """A point on the unit sphere; the dot product of two is their cosine similarity.

    Only embeddings of one model and digest can be compared, so both are part of the result.
    """

    model: str  # id
    version: int  # of the artifact
    digest: str  # of the artifact; equal digests can be compared
    values: NDArray[np.float32]  # (D,), L2 norm 1
    media_warnings: tuple[str, ...] = ()  # about the file that was embedded

    def to_json(self) -> EmbeddingJson:
        """Return `model`, `version`, `digest`, `dimensions` and `embedding`, a list of D floats."""
        return {
            "model": self.model,
            "version": self.version,
            "digest": self.digest,
            "dimensions": int(self.values.size),
            "embedding": self.values.tolist(),
        }


@dataclass(frozen=True, slots=True)
class Alpha:
    """The share of foreground in each pixel."""

    values: NDArray[np.float32]  # (H, W) in [0, 1], at the source image's size
    raw_minimum: float  # of the network's mask before stretching to [0, 1]
    raw_maximum: float  # close to raw_minimum: no foreground, see `degenerate`
    media_warnings: tuple[str, ...] = ()  # about the file of the image

    @property
    def degenerate(self) -> bool:
        """Return True if the network's mask is nearly constant: stretched, it is noise."""
        return self.raw_maximum - self.raw_minimum < 0.1

    def to_json(self) -> AlphaJson:
        """Return the size and a summary; the pixels are sent as an image."""
        height, width = self.values.shape
        return {
            "height": height,
            "width": width,
            "foreground_fraction": float(self.values.mean()),
            "raw_minimum": self.raw_minimum,
            "raw_maximum": self.raw_maximum,
            "degenerate": self.degenerate,
        }


@dataclass(frozen=True, slots=True)
class Detections:
    """Boxes found in one image, best first. Empty arrays mean that nothing was found."""

    labels: tuple[str, ...]  # K names, indexed by `classes`
    boxes_xyxy: NDArray[np.float32]  # (M, 4) left, top, right, bottom; source px, within the image
    scores: NDArray[np.float32]  # (M,) in [0, 1]
    classes: NDArray[np.int64]  # (M,)
    keypoints: NDArray[np.float32] | None  # (M, P, 2) x, y in source px; may lie outside the image
    media_warnings: tuple[str, ...] = ()  # about the file of the image

    def to_json(self) -> DetectionsJson:
        """Return `detections`: a list of `label`, `score`, `box` and, if present, `keypoints`."""
        detections: list[DetectionJson] = [
            {"label": self.labels[kind], "score": float(score), "box": box_json(box)}
            for kind, score, box in zip(self.classes, self.scores, self.boxes_xyxy, strict=True)
        ]
        if self.keypoints is not None:
            for detection, points in zip(detections, self.keypoints, strict=True):
                detection["keypoints"] = points.tolist()
        return {"detections": detections}


def box_json(box_xyxy: NDArray[np.float32]) -> BoxJson:
    """Return the corners of a box, (4,) px, by name."""
    x1, y1, x2, y2 = box_xyxy.tolist()
    return {"x1": x1, "y1": y1, "x2": x2, "y2": y2}


Result = Classification | Embedding | Alpha | Detections


@dataclass(frozen=True, slots=True)
class Provenance:
    """The artifact that computed an answer: the same fields in every answer, whatever the task."""

    model: str  # id
    version: int
    digest: str
    variant: str  # the file that ran: "int8", "int8-7bit" or "float"
    weights_origin: str  # "pretrained", "seeded" or "synthetic"

    def to_json(self) -> ProvenanceJson:
        """Return the fields by name; the deprecated `weights` too."""
        return {
            "model": self.model,
            "version": self.version,
            "digest": self.digest,
            "variant": self.variant,
            "weights_origin": self.weights_origin,
            "weights": self.weights_origin,
        }


def is_finite(result: Result) -> bool:
    """Check that every number of a result is finite."""
    values = (getattr(result, field.name) for field in fields(result))
    return all(np.isfinite(v).all() for v in values if isinstance(v, np.ndarray | float))


def warnings_of(result: Result) -> tuple[str, ...]:
    """Return the warnings about a result and about the media it comes from: ASCII sentences."""
    match result:
        case Classification(silent=True):
            return (*result.media_warnings, SILENT)
        case Alpha(degenerate=True):
            return (*result.media_warnings, DEGENERATE)
        case _:
            return result.media_warnings
