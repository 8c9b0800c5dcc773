"""Compare a detector's answer with the tensors that the server computed for the same picture.

Near the score threshold, INT8 may find other boxes than its reference and be as good. So the
tensors are compared with the golden outputs, and the detections with the tensors.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deploy.client import Reply
from deploy.comparisons import MALFORMED, compare, unreadable
from deploy.rows import Row
from runtime.artifact.golden_limits import Difference
from runtime.artifact.manifest import Manifest
from runtime.predict.postprocess import Context, postprocess

EXACT = Difference(0.0, 0.0)  # only the margin; coordinates are shares of the picture's longer side


def compare_detections(
    route: str, reply: Reply, tensors: Reply, media: bytes, manifest: Manifest
) -> Row:
    """Compare the detections of a picture with those computed from the graph's outputs.

    Args:
        route: for the row.
        reply: the answer to the picture.
        tensors: the answer to the graph's input, made of the same picture.
        media: the encoded picture.
        manifest: of the model.
    """
    source = cv2.imdecode(np.frombuffer(media, np.uint8), cv2.IMREAD_COLOR)
    if reply.status != 200 or source is None:
        return unreadable(route, reply)
    height, width = source.shape[:2]
    context = Context(
        manifest.spec,
        manifest.version,
        manifest.digest,
        source_height=height,
        source_width=width,
    )
    try:
        result: dict[str, Any] = dict(postprocess(tensors.tensors(), context).to_json())
        expected = result["detections"]
        actual = reply.json()["result"]["detections"]
        labels, expected_labels = ([item["label"] for item in d] for d in (actual, expected))
        if labels != expected_labels:
            return Row(route, reply, f"found {labels}; the tensors say {expected_labels}")
        side_px = max(height, width)
        return compare(route, reply, _numbers(expected, side_px), _numbers(actual, side_px), EXACT)
    except (*MALFORMED, ArithmeticError, LookupError):
        return unreadable(route, reply)


def _numbers(detections: Sequence[dict[str, Any]], side_px: int) -> NDArray[np.float64]:
    """Return scores and coordinates in a row, after a zero: a picture may hold nothing."""
    numbers = [0.0]
    for item in detections:
        points = [value for point in item.get("keypoints", []) for value in point]
        numbers += [item["score"], *(v / side_px for v in (*item["box"].values(), *points))]
    return np.array(numbers)
