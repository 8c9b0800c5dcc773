"""What a model answers: frozen dataclasses whose fields carry shape, dtype and unit.

`to_json` of each gives plain Python values (the HTTP and --json form).
"""

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

SILENT = "the sound is silent: what the model says of it means nothing"
DEGENERATE = "the mask is nearly constant: nothing stands out from its background"


@dataclass(frozen=True, slots=True)
class Classification:
    """Class probabilities of one input."""

    labels: tuple[str, ...]  # K names, in the order of `probabilities`
    probabilities: NDArray[np.float32]  # (K,) in [0, 1], sums to 1
    silent: bool = False  # True: of a sound that was, and of which therefore nothing can be told

    @property
    def label(self) -> str:
        """Name of the most probable class."""
        return self.labels[int(self.probabilities.argmax())]

    @property
    def confidence(self) -> float:
        """Probability of the most probable class, in [0, 1]."""
        return float(self.probabilities.max())

    def to_json(self) -> dict[str, Any]:
        """`label`, `confidence` and `probabilities` by label, most probable first."""
        order = np.argsort(-self.probabilities, kind="stable")
        return {
            "label": self.label,
            "confidence": self.confidence,
            "probabilities": {self.labels[i]: float(self.probabilities[i]) for i in order},
        }


def classification_json(result: Classification | None) -> dict[str, Any]:
    """Return the JSON of a classification; None, of an input that no model judged, has nulls."""
    if result is None:
        return {"label": None, "confidence": None, "probabilities": {}}
    return result.to_json()


@dataclass(frozen=True, slots=True)
class Embedding:
    """A point on the unit sphere; the dot product of two is their cosine similarity.

    Embeddings compare only within one model and digest, so both travel with the values.
    """

    model: str  # id of the model that made it
    version: int  # of the artifact that made it
    digest: str  # of that artifact: what has to be equal
    values: NDArray[np.float32]  # (D,), L2 norm 1

    def to_json(self) -> dict[str, Any]:
        """`model`, `version`, `digest`, `dimensions` and the `embedding`: a list of D floats."""
        return {
            "model": self.model,
            "version": self.version,
            "digest": self.digest,
            "dimensions": int(self.values.size),
            "embedding": self.values.tolist(),
        }


@dataclass(frozen=True, slots=True)
class Alpha:
    """How much of each pixel is foreground."""

    values: NDArray[np.float32]  # (H, W) in [0, 1], at the source image's size
    raw_minimum: float  # of the network's mask before stretching to [0, 1]
    raw_maximum: float  # close to raw_minimum: nothing was told apart, see `degenerate`

    @property
    def degenerate(self) -> bool:
        """True when the network's mask was nearly constant, so its stretched form is noise."""
        return self.raw_maximum - self.raw_minimum < 0.1

    def to_json(self) -> dict[str, Any]:
        """Size and summary; the pixels themselves travel as an image."""
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
    """Boxes found in one image, best first. Empty arrays: nothing was found, which is no error."""

    labels: tuple[str, ...]  # K names, what `classes` points into
    boxes_xyxy: NDArray[np.float32]  # (M, 4) left, top, right, bottom; source px, within the image
    scores: NDArray[np.float32]  # (M,) in [0, 1]
    classes: NDArray[np.int64]  # (M,)
    keypoints: NDArray[np.float32] | None  # (M, P, 2) x, y in source px; may be outside; None: none

    def to_json(self) -> dict[str, Any]:
        """`detections`: a list of `label`, `score`, `box` and, if there are any, `keypoints`."""
        detections = [
            {
                "label": self.labels[kind],
                "score": float(score),
                "box": dict(zip(("x1", "y1", "x2", "y2"), box.tolist(), strict=True)),
            }
            for kind, score, box in zip(self.classes, self.scores, self.boxes_xyxy, strict=True)
        ]
        if self.keypoints is not None:
            for detection, points in zip(detections, self.keypoints, strict=True):
                detection["keypoints"] = points.tolist()
        return {"detections": detections}


Result = Classification | Embedding | Alpha | Detections


@dataclass(frozen=True, slots=True)
class Provenance:
    """The artifact that computed an answer: the same fields in every answer, whatever the task."""

    model: str  # id
    version: int
    digest: str
    variant: str  # the file that ran: "int8", "int8-7bit" or "float"
    weights: str  # "pretrained", "seeded" or "synthetic"

    def to_json(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


def is_finite(result: Result) -> bool:
    """Check that every number of a result is finite."""
    values = (getattr(result, field.name) for field in fields(result))
    return all(np.isfinite(v).all() for v in values if isinstance(v, np.ndarray | float))


def warnings_of(result: Result) -> tuple[str, ...]:
    """What has to be said beside a result: sentences, ASCII."""
    match result:
        case Classification(silent=True):
            return (SILENT,)
        case Alpha(degenerate=True):
            return (DEGENERATE,)
        case _:
            return ()
