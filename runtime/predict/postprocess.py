"""Build the result of a task from the outputs of its graph."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.artifact.manifest import Spec, Task
from runtime.predict.detection import detect
from runtime.results import Alpha, Classification, Detections, Embedding, Result

Outputs = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Context:
    """The facts about model and input that a result needs besides the outputs."""

    spec: Spec
    version: int  # of the artifact
    digest: str
    source_height: int  # px, of the decoded image; 0: the input is no image
    source_width: int  # px
    silent: bool = False  # True: the input is a silent sound


def postprocess(outputs: Outputs, context: Context) -> Result:
    """Build the result of one input.

    Args:
        outputs: by name, with a batch axis of size 1.
        context: of the model and the input.

    Raises:
        ModelOutputError: a detector's scores are NaN.
    """
    return BUILDERS[context.spec.task](outputs, context)


def _classification(outputs: Outputs, context: Context) -> Classification:
    probabilities = np.asarray(outputs["probabilities"][0], np.float32)
    return Classification(context.spec.labels, probabilities, silent=context.silent)


def _embedding(outputs: Outputs, context: Context) -> Embedding:
    values = np.asarray(outputs["embedding"][0], np.float32)
    return Embedding(context.spec.id, context.version, context.digest, values)


def _alpha(outputs: Outputs, context: Context) -> Alpha:
    alpha = np.asarray(outputs["alpha"][0], np.float32)
    minimum, maximum = (float(value) for value in outputs["alpha_range"][0])
    size = (context.source_width, context.source_height)
    scaled = cv2.resize(alpha, size, interpolation=cv2.INTER_LINEAR).astype(np.float32, copy=False)
    return Alpha(values=scaled, raw_minimum=minimum, raw_maximum=maximum)


def _detections(outputs: Outputs, context: Context) -> Detections:
    boxes = detect(outputs, context.spec, height=context.source_height, width=context.source_width)
    return Detections(
        labels=context.spec.labels,
        boxes_xyxy=boxes.boxes_xyxy,
        scores=boxes.scores,
        classes=boxes.classes,
        keypoints=boxes.keypoints,
    )


BUILDERS: Mapping[Task, Callable[[Outputs, Context], Result]] = {
    "image-classification": _classification,
    "image-feature-extraction": _embedding,
    "image-segmentation": _alpha,
    "object-detection": _detections,
    "audio-classification": _classification,
    "video-classification": _classification,
    "sentence-similarity": _embedding,
}
