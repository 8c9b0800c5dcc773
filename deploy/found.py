"""A detector's answer, against what its own tensors say.

Near a threshold an integer graph may find other boxes than its reference, and be as good. So the
tensors are compared with the reference's, and the answer with the tensors.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deploy.client import Reply
from deploy.rows import Allowed, Row, compared, unreadable
from runtime.artifact.manifest import Manifest
from runtime.predict.postprocess import Context, postprocess

EXACT = Allowed(0.0, 0.0)  # but for the margin: coordinates count as shares of the image's side


def same_detections(
    route: str, reply: Reply, tensors: Reply, media: NDArray[np.uint8], manifest: Manifest
) -> Row:
    """Whether the boxes answered for a picture are those of the graph's outputs for it.

    Args:
        route: for the row.
        reply: to the picture.
        tensors: the reply to the graph's input made of it.
        media: the picture as a PNG file, (bytes,) uint8.
        manifest: of the model.
    """
    source = cv2.imdecode(media, cv2.IMREAD_COLOR)
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
        expected = postprocess(tensors.tensors(), context).to_json()["detections"]
        found = reply.json()["result"]["detections"]
        names, wanted = ([item["label"] for item in items] for items in (found, expected))
        if names != wanted:
            return Row(route, reply, f"found {names}; the tensors say {wanted}")
        side_px = max(height, width)
        return compared(route, reply, _numbers(expected, side_px), _numbers(found, side_px), EXACT)
    except (AttributeError, ArithmeticError, LookupError, TypeError, ValueError):
        return unreadable(route, reply)


def _numbers(detections: Sequence[dict[str, Any]], side_px: int) -> NDArray[np.float64]:
    """Scores and coordinates in a row; a zero in front, for a picture of nothing."""
    numbers = [0.0]
    for item in detections:
        points = [value for point in item.get("keypoints", []) for value in point]
        numbers += [item["score"], *(v / side_px for v in (*item["box"].values(), *points))]
    return np.array(numbers)
