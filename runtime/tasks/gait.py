"""How a person walks in a clip, with what is known about the person."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from runtime.artifact.conditions import Conditions
from runtime.errors import InputError
from runtime.media.video.sample import SampledFrames
from runtime.model import Model
from runtime.predict.prepare import Bounds, Condition
from runtime.results import Classification, Embedding

LONGEST_TEXT = 2000  # characters of a condition in free text; a text model reads a page at most
_PROBES = 2  # known conditions that a text model is asked for, to see that it speaks the same


@dataclass(frozen=True, slots=True)
class Understood:
    """What the model was told about the person."""

    given: str | None = None  # as it was asked; None: nothing
    read_as: Literal["nothing", "name", "text"] = "nothing"
    name: str | None = None  # of the known condition, where it is one
    text_model: Model | None = None  # that embedded the text, where it is one

    def to_json(self) -> dict[str, Any]:
        """`given`, `read_as`, `name`, and `text_model` as `model`, `version` and `digest`."""
        made = self.text_model.manifest if self.text_model else None
        model = made and {"model": made.id, "version": made.version, "digest": made.digest}
        return {
            "given": self.given,
            "read_as": self.read_as,
            "name": self.name,
            "text_model": model,
        }


@dataclass(frozen=True, slots=True)
class Gait:
    """The walk in one clip."""

    walk: Classification
    condition: Understood
    frames: SampledFrames  # what the model saw, at its own size

    def to_json(self) -> dict[str, Any]:
        """`predicted_class`, the fields of a classification, `condition`, and the `frames` used.

        `condition` is the known name or the text, null where nothing was told; `condition_read`
        says how it was understood. Of `frames`: `indices` from 0 and `times_s` from the first
        frame, one each per frame that the model saw; `clip_frames`, how many there are.
        """
        told = self.condition
        return {
            "predicted_class": self.walk.label,
            **self.walk.to_json(),
            "condition": told.name or told.given,
            "condition_read": told.to_json(),
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
        clip: a file as `runtime.media.video.sample` reads it, or (n, H, W, 3) uint8 RGB.
        model: of the task video-classification.
        condition: of the person: a name or synonym that the model knows, else free text; None or
            blank where nothing is known.
        text_models: that may embed free text; the first that fits the model does.
        bounds: the largest clip, and who decodes it; None for the defaults.

    Raises:
        InputError: the clip cannot be decoded or is over a limit, or the condition is neither
            known nor can be read as text; nothing was run.
        ModelOutputError: a model's answer holds NaN or infinity.
    """
    model.require_task("video-classification")
    understood, known = understand(condition, model, text_models)
    prepared = model.prepare(clip, condition=known, bounds=bounds)
    walk = model.answer(prepared)
    # the results of the task
    assert isinstance(walk, Classification)
    assert prepared.frames is not None
    return Gait(walk, understood, prepared.frames)


def understand(
    condition: str | None, model: Model, text_models: Iterable[Model]
) -> tuple[Understood, Condition]:
    """What a model is told of a condition.

    Returns:
        How it was understood, and what `Model.prepare` takes for it.

    Raises:
        InputError: the graph takes none, or it is neither known by name nor can be read as text.
    """
    told = (condition or "").strip()
    if not told:
        return Understood(), None
    if condition_width(model) is None:
        raise InputError(f"{model.spec.id} takes no condition")
    known = model.assets.conditions
    if known is not None and known.knows(told):
        return Understood(told, "name", known.find(told)), told
    encoder = next((each for each in text_models if speaks_with(each, model)), None)
    if encoder is None:
        if known is not None:
            known.find(told)  # refuses it, naming those known
        raise InputError(f"{model.spec.id} knows no condition by name, and no text model fits")
    if len(told) > LONGEST_TEXT:
        raise InputError(f"the condition has {len(told)} characters; allowed: {LONGEST_TEXT}")
    return Understood(told, "text", None, encoder), _embedded(told, encoder)


def condition_width(model: Model) -> int | None:
    """How many numbers a video model is told of the person; None: it is told nothing."""
    shapes = {tensor.name: tensor.shape for tensor in model.spec.inputs}
    return int(shapes["condition"][-1]) if "condition" in shapes else None


def speaks_with(text_model: Model, model: Model) -> bool:
    """Whether a text model's embeddings are those that a video model was taught.

    The task and the width are not enough: most small text models have the same. So it is asked for
    conditions that the video model knows by name, each of which has to come out nearest to its own
    vector.
    """
    if text_model.spec.task != "sentence-similarity":
        return False
    shapes = {tensor.name: tensor.shape for tensor in text_model.spec.outputs}
    if shapes["embedding"][-1] != condition_width(model):
        return False
    known = model.assets.conditions
    return known is None or all(
        _nearest(_embedded(name, text_model), known) == name for name in known.names[:_PROBES]
    )


def _nearest(vector: NDArray[np.float32], known: Conditions) -> str:
    lengths = np.linalg.norm(known.embeddings, axis=1)
    cosines = known.embeddings @ vector / np.maximum(lengths, 1e-12)  # a row of zeros is near none
    return known.names[int(cosines.argmax())]


def _embedded(text: str, text_model: Model) -> NDArray[np.float32]:
    result = text_model.predict(text)
    assert isinstance(result, Embedding)  # the task's result
    return result.values
