"""POST /v1/similarity: how alike two images are."""

import numpy as np

from runtime.results import Embedding
from serve.endpoint import Call, Reply, predicted
from serve.media import Form
from serve.models import facts_of

FORM = Form(("image_a", "image_b"))
UNCALIBRATED = "no threshold was calibrated: compare cosines with each other, not with a limit"


def similarity(call: Call) -> Reply:
    """By the model's embeddings."""
    first, second = (_embedding(call, index) for index in range(2))
    # rounding may leave the dot product of two unit vectors just outside
    cosine = float(np.clip(np.dot(first.values, second.values), -1.0, 1.0))
    result = {"cosine": cosine, "calibration": "uncalibrated", "note": UNCALIBRATED}
    return Reply(facts_of(call.model), result)


def _embedding(call: Call, index: int) -> Embedding:
    result = predicted(call.model, call.image(index))
    if not isinstance(result, Embedding):
        name = type(result).__name__
        raise TypeError(f"{call.model.spec.id} gave {name}; similarity needs Embedding")
    return result
