"""Compare the answers to the first golden sample with its golden outputs."""

import math
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deploy.client import Reply
from deploy.rows import Row
from runtime.artifact.golden import Golden
from runtime.artifact.golden_limits import Difference, limits, margin_unit, measure_difference
from runtime.artifact.manifest import Spec, Task

EIGHT_BIT = 1 / 255  # alpha travels as a PNG
MALFORMED = (AttributeError, KeyError, TypeError, ValueError)  # an answer of another structure
OUTPUTS: Mapping[Task, str] = {  # the output that a result is made of
    "image-classification": "probabilities",
    "image-feature-extraction": "embedding",
    "image-segmentation": "alpha",
    "audio-classification": "probabilities",
    "video-classification": "probabilities",
    "sentence-similarity": "embedding",
}

Differences = Mapping[str, Difference]  # by name of the output


def compare(
    route: str,
    reply: Reply,
    expected: NDArray[Any],
    actual: NDArray[Any],
    recorded: Difference,
    unit: float = 1.0,
) -> Row:
    """Compare the numbers of an answer with the expected ones.

    Args:
        route: for the row.
        reply: the answer.
        expected: at least one number.
        actual: the numbers of the answer.
        recorded: how far they may differ, without the margin.
        unit: the unit of the margin, and of the differences in the row.
    """
    if reply.status != 200:
        return unreadable(route, reply)
    if expected.shape != actual.shape:
        return Row(route, reply, f"shape {actual.shape}; expected {expected.shape}")
    difference = measure_difference(expected, actual).divided_by(unit)
    allowed = limits(recorded, unit).divided_by(unit)
    if difference.is_within(allowed):
        return Row(route, reply, difference=difference.max_abs)
    problem = (
        f"mean {difference.mean_abs:.1e}, largest {difference.max_abs:.1e}; "
        f"allowed {allowed.mean_abs:.1e} and {allowed.max_abs:.1e}"
    )
    return Row(route, reply, problem, difference.max_abs)


def unreadable(route: str, reply: Reply, reason: str = "not the answer of this route") -> Row:
    """Return the row of an answer that cannot be compared, with the beginning of its body."""
    reason = reason if reply.status == 200 else f"status {reply.status}"
    return Row(route, reply, f"{reason}: {reply.body[:120]!r}")


def compare_tensors(route: str, reply: Reply, golden: Golden, recorded: Differences) -> Row:
    """Compare every output tensor; return the row of the one that differs most."""
    try:
        outputs = reply.tensors()
    except MALFORMED:
        return unreadable(route, reply)
    rows = []
    for name, batch in golden.outputs.items():
        if name not in outputs:
            return unreadable(route, reply, f"output {name} is missing")
        unit = margin_unit(name, golden.inputs)
        rows.append(compare(route, reply, batch[:1], outputs[name], recorded[name], unit))
    return max(rows, key=lambda row: (row.problem, row.difference))


def compare_result(
    route: str, reply: Reply, golden: Golden, spec: Spec, recorded: Differences
) -> Row:
    """Compare the result of a task; of a mask, its mean."""
    output = OUTPUTS[spec.task]
    expected = golden.outputs[output][0]
    try:
        result = reply.json()["result"]
        if output == "probabilities":  # by label: their order was compared as a tensor
            actual = [result[output].get(label, math.nan) for label in spec.labels]
        elif output == "embedding":
            actual = result[output]
        else:
            expected, actual = np.array([expected.mean()]), [result["foreground_fraction"]]
        return compare(route, reply, expected, np.array(actual, np.float64), recorded[output])
    except MALFORMED:
        return unreadable(route, reply)


def compare_similarity(route: str, reply: Reply, golden: Golden, recorded: Difference) -> Row:
    """Compare the cosine of the first two embeddings."""
    embeddings = golden.outputs["embedding"]
    first, second = embeddings[0], embeddings[second_sample(golden)]
    try:
        cosine = np.array([reply.json()["result"]["cosine"]], np.float64)
    except MALFORMED:
        return unreadable(route, reply)
    # of unit vectors: the dot product moves by no more than both of them do
    bound = recorded.mean_abs * math.sqrt(first.size)
    return compare(route, reply, np.array([first @ second]), cosine, Difference(bound, bound))


def second_sample(golden: Golden) -> int:
    """Return the number of the sample that is compared with the first: itself if it is alone."""
    return min(1, golden.count - 1)


def compare_cut_out(route: str, reply: Reply, golden: Golden, recorded: Difference) -> Row:
    """Compare the alpha channel of a PNG with the golden mask, enlarged to the picture's size."""
    encoded = np.frombuffer(reply.body, np.uint8)
    picture = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED) if encoded.size else None
    source = cv2.imdecode(np.frombuffer(golden.media[0], np.uint8), cv2.IMREAD_COLOR)
    if picture is None or source is None or picture.shape != (*source.shape[:2], 4):
        return unreadable(route, reply, "no PNG with transparency of the source's size")
    size = (source.shape[1], source.shape[0])
    alpha = cv2.resize(golden.outputs["alpha"][0], size, interpolation=cv2.INTER_LINEAR)
    return compare(route, reply, alpha, picture[:, :, 3] / 255, recorded.plus(EIGHT_BIT))
