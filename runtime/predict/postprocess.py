"""From graph outputs to results: one builder per task."""

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
    """What a builder may need beside the outputs."""

    spec: Spec
    version: int  # of the artifact
    digest: str
    source_height: int  # px, of the image as decoded; 0: no image
    source_width: int  # px
    silent: bool = False  # the sound was


def postprocess(outputs: Outputs, context: Context) -> Result:
    """Build the result of one input from outputs whose batch axis has size 1.

    Raises:
        ModelOutputError: a detector's scores are not numbers.
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
    found = detect(outputs, context.spec, height=context.source_height, width=context.source_width)
    return Detections(
        labels=context.spec.labels,
        boxes_xyxy=found.boxes_xyxy,
        scores=found.scores,
        classes=found.classes,
        keypoints=found.keypoints,
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
