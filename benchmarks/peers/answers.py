"""Judge an answer before its server is timed: it must be that of the model file."""

import json
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import BenchmarkError
from benchmarks.peers.table import Answer

LOWEST_COSINE = 0.9999  # of an embedding to that of the same file: onnxruntime's kernels may differ
LOWEST_IOU = 0.95  # of a foreground to the float mask: servers refine edges each in their way

Array = NDArray[Any]


def check_embedding(answer: Answer, expected: Array) -> Callable[[bytes], float]:
    """Return a check of answers with an embedding; it returns the cosine to the expected one.

    Args:
        answer: form of the answer.
        expected: (n,) float32, of the same model file and input.
    """

    def check(body: bytes) -> float:
        values = np.asarray(_embedding(answer, body), np.float64).ravel()
        if values.shape != expected.shape:
            raise BenchmarkError(f"answered {values.size} numbers; expected: {expected.size}")
        norms = float(np.linalg.norm(values) * np.linalg.norm(expected))
        cosine = float(values @ expected) / norms if norms else 0.0
        return _at_least("cosine to the answer of the model file", cosine, LOWEST_COSINE)

    return check


def check_cut_out(expected: Array) -> Callable[[bytes], float]:
    """Return a check of PNG files with alpha; it returns the IoU of the foregrounds.

    Args:
        expected: (H, W) float32, the float model's alpha of the same photo.
    """

    def check(body: bytes) -> float:
        image = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED) if body else None
        if image is None or image.ndim != 3 or image.shape[2] != 4:
            raise BenchmarkError(f"answered no picture with alpha: {body[:60]!r}")
        height, width = image.shape[:2]
        alpha = cv2.resize(expected, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5
        foreground = image[..., 3] > 127
        union = int(np.count_nonzero(foreground | alpha))
        iou = np.count_nonzero(foreground & alpha) / union if union else 0.0
        return _at_least("IoU of the foreground with the float model's", float(iou), LOWEST_IOU)

    return check


def _embedding(answer: Answer, body: bytes) -> Any:
    try:
        value = json.loads(body)
        match answer:
            case "list":
                return value
            case "tensor":
                return value["outputs"][0]["data"]
            case "slipway":
                return value["result"]["embedding"]
            case _:
                return value["embedding"]
    except (ValueError, LookupError, TypeError) as error:
        raise BenchmarkError(f"answered no embedding: {body[:200]!r}") from error


def _at_least(name: str, value: float, lowest: float) -> float:
    if not value >= lowest:
        raise BenchmarkError(f"a wrong answer: {name} is {value:.4f}; allowed: {lowest} or more")
    return value
