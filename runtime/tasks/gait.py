"""Classify how a person walks in a clip, given what is known about the person."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from runtime.artifact.conditions import Conditions, check_length
from runtime.errors import InputError
from runtime.media.video.sample import SampledFrames
from runtime.model import Model
from runtime.predict.prepare import Bounds, Condition
from runtime.results import Classification, ClassificationJson, Embedding

_PROBES = 2  # conditions that a text model embeds, to check that its embeddings fit the video model


ReadAs = Literal["nothing", "name", "text"]


class TextModelJson(TypedDict):
    """The model that embedded a condition."""

    model: str
    version: int
    digest: str


class ConditionJson(TypedDict):
    """A person's condition, as the client wrote it and as the model took it."""

    given: str | None
    read_as: ReadAs
    name: Annotated[str | None, "of the condition that the model knows"]
    text_model: Annotated[TextModelJson | None, "that embedded free text"]


class FramesJson(TypedDict):
    """The frames of a clip that the model received."""

    indices: list[int]
    times_s: Annotated[list[float], "seconds from the first frame"]
    clip_frames: int
    sought: Annotated[bool, "the decoder skipped the frames between them"]


class GaitJson(ClassificationJson):
    """The walk of a person, classified."""

    predicted_class: Annotated[str, "as `label`"]
    condition: str | None
    condition_read: ConditionJson
    frames: FramesJson


@dataclass(frozen=True, slots=True)
class ConditionReading:
    """A person's condition, as the caller wrote it and as the model took it."""

    text: str | None = None  # of the caller; None: no condition
    read_as: ReadAs = "nothing"
    name: str | None = None  # of the known condition, if it is one
    text_model: Model | None = None  # that embedded the text, if it is no known condition

    def to_json(self) -> ConditionJson:
        """Return `given`, `read_as`, `name`, and `model`, `version`, `digest` of `text_model`."""
        manifest = self.text_model.manifest if self.text_model else None
        model: TextModelJson | None = None
        if manifest is not None:
            model = {
                "model": manifest.id,
                "version": manifest.version,
                "digest": manifest.digest,
            }
        return {
            "given": self.text,
            "read_as": self.read_as,
            "name": self.name,
            "text_model": model,
        }


@dataclass(frozen=True, slots=True)
class Gait:
    """The walk in one clip."""

    walk: Classification
    condition: ConditionReading
    frames: SampledFrames  # the model's input, at its size

    def to_json(self) -> GaitJson:
        """Return `predicted_class`, the fields of a classification, `condition` and `frames`.

        `condition` is the known name or the caller's text, null without a condition;
        `condition_read` says how the model took it. `frames` has, for each frame that the model
        saw, its index from 0 in `indices` and its seconds from the first frame in `times_s`;
        `clip_frames` is the number of frames in the clip.
        """
        return {
            "predicted_class": self.walk.label,
            **self.walk.to_json(),
            "condition": self.condition.name or self.condition.text,
            "condition_read": self.condition.to_json(),
            "frames": {
                "indices": list(self.frames.indices),
                "times_s": [round(seconds, 6) for seconds in self.frames.times_s],
                "clip_frames": self.frames.clip_frames,
                "sought": self.frames.by_seeking,
            },
        }


def gait(
    clip: bytes | NDArray[np.uint8],
    model: Model,
    *,
    condition: str | None = None,
    text_models: Iterable[Model] = (),
    bounds: Bounds | None = None,
) -> Gait:
    """Classify the walk in a clip.

    Args:
        clip: a file that `runtime.media.video.sample` reads, or (n, H, W, 3) uint8 RGB.
        model: a model for video-classification.
        condition: of the person: a name or synonym that the model knows, else free text; None or
            blank if nothing is known.
        text_models: candidates to embed free text; the first that fits the model is used.
        bounds: the largest clip, and the decoders; None for the defaults.

    Raises:
        InputError: the clip cannot be decoded or is over a limit, or the condition is not known
            and no text model fits; nothing was run.
        ModelOutputError: a model's answer holds NaN or infinity.
    """
    model.require_task("video-classification")
    reading, model_condition = read_condition(condition, model, text_models)
    prepared = model.prepare(clip, condition=model_condition, bounds=bounds)
    walk = model.answer(prepared)
    # what this task's `prepare` and `answer` return
    assert isinstance(walk, Classification)
    assert prepared.frames is not None
    return Gait(walk, reading, prepared.frames)


def read_condition(
    condition: str | None, model: Model, text_models: Iterable[Model]
) -> tuple[ConditionReading, Condition]:
    """Look a condition up by name, or embed it with a text model.

    Returns:
        How the condition was read, and the value for `Model.prepare`.

    Raises:
        InputError: the graph takes no condition, or it is not known by name and no text model fits.
        TooLargeError: the condition is longer than a page.
    """
    text = (condition or "").strip()
    check_length(text)
    if not text:
        return ConditionReading(), None
    if condition_width(model) is None:
        raise InputError(f"{model.spec.id} takes no condition")
    conditions = model.assets.conditions
    if conditions is not None and conditions.knows(text):
        return ConditionReading(text, "name", conditions.find(text)), text
    text_model = next((m for m in text_models if shares_embedding_space(m, model)), None)
    if text_model is None:
        if conditions is not None:
            conditions.find(text)  # raises the error that lists the known names
        raise InputError(f"{model.spec.id} knows no condition by name, and no text model fits")
    return ConditionReading(text, "text", None, text_model), _embed(text, text_model)


def condition_width(model: Model) -> int | None:
    """Return the width D of a video model's condition vector; None if it takes no condition."""
    shapes = {tensor.name: tensor.shape for tensor in model.spec.inputs}
    return int(shapes["condition"][-1]) if "condition" in shapes else None


def shares_embedding_space(text_model: Model, model: Model) -> bool:
    """Check that a text model returns the embeddings that a video model was trained with.

    Task and width are not enough: most small text models have the same. The text model therefore
    embeds conditions that the video model knows by name, and each embedding must lie nearest to
    the video model's own vector of that name.
    """
    if text_model.spec.task != "sentence-similarity":
        return False
    shapes = {tensor.name: tensor.shape for tensor in text_model.spec.outputs}
    if shapes["embedding"][-1] != condition_width(model):
        return False
    conditions = model.assets.conditions
    return conditions is None or all(
        _nearest_name(_embed(name, text_model), conditions) == name
        for name in conditions.names[:_PROBES]
    )


def _nearest_name(vector: NDArray[np.float32], conditions: Conditions) -> str:
    norms = np.linalg.norm(conditions.embeddings, axis=1)
    cosines = conditions.embeddings @ vector / np.maximum(norms, 1e-12)  # a zero row: cosine 0
    return conditions.names[int(cosines.argmax())]


def _embed(text: str, text_model: Model) -> NDArray[np.float32]:
    result = text_model.predict(text)
    assert isinstance(result, Embedding)  # the result of this task
    return result.values
