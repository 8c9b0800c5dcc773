"""From graph outputs to results: one builder per task."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.manifest import Spec, Task
from runtime.results import Alpha, Classification, Embedding, Result

Outputs = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Context:
    """What a builder may need beside the outputs."""

    spec: Spec
    digest: str
    source_height: int  # px, of the image as decoded
    source_width: int  # px


def postprocess(outputs: Outputs, context: Context) -> Result:
    """Build the result of one input from outputs whose batch axis has size 1."""
    return BUILDERS[context.spec.task](outputs, context)


def _classification(outputs: Outputs, context: Context) -> Classification:
    probabilities = np.asarray(outputs["probabilities"][0], np.float32)
    return Classification(labels=context.spec.labels, probabilities=probabilities)


def _embedding(outputs: Outputs, context: Context) -> Embedding:
    values = np.asarray(outputs["embedding"][0], np.float32)
    return Embedding(model=context.spec.id, digest=context.digest, values=values)


def _alpha(outputs: Outputs, context: Context) -> Alpha:
    alpha = np.asarray(outputs["alpha"][0], np.float32)
    minimum, maximum = (float(value) for value in outputs["alpha_range"][0])
    size = (context.source_width, context.source_height)
    scaled = cv2.resize(alpha, size, interpolation=cv2.INTER_LINEAR).astype(np.float32, copy=False)
    return Alpha(values=scaled, raw_minimum=minimum, raw_maximum=maximum)


BUILDERS: Mapping[Task, Callable[[Outputs, Context], Result]] = {
    "image-classification": _classification,
    "image-feature-extraction": _embedding,
    "image-segmentation": _alpha,
}
