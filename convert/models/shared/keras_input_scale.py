"""The scale of the pixels that a Keras model of a recipe was trained on, as a fact with its origin.

The model's own layers show it, or its file is known by its hash, or `--input-scale` states it. Else
it is assumed, with a warning.
"""

import hashlib
from pathlib import Path
from typing import Any

from convert.authoring import Assumption, scale_of_layers

OPTION = "input_scale"  # of `Recipe.options`, and the name of the fact
DEFAULT = "symmetric"  # as upstream's mini-XCEPTION and keras.applications' MobileNetV2
RANGES = {"raw": "as 0 to 255", "unit": "as 0 to 1"}


def find_scale(model: Any, path: Path, *, stated: str | None, known_sha256: str) -> Assumption:
    """Return the scale of pixels: as stated, else as the model's layers show, else DEFAULT.

    Args:
        model: keras.Model, whole: the layers that scale pixels come first.
        path: its file.
        stated: the value of `--input-scale`, or "MEAN/STD"; None: not stated.
        known_sha256: of the published file that is trained on DEFAULT.
    """
    if stated is not None:
        return Assumption(OPTION, stated, "option", f"pixels are scaled by --input-scale {stated}")
    measured = scale_of_layers(model)
    if measured is not None:
        sentence = f"the model's own layers scale pixels, so it gets them {RANGES[measured]}"
        return Assumption(OPTION, measured, "file", sentence)
    if hashlib.sha256(path.read_bytes()).hexdigest() == known_sha256:
        sentence = "pixels are scaled to -1 to 1, as the publisher of these weights does"
        return Assumption(OPTION, DEFAULT, "file", sentence)
    return Assumption(
        OPTION,
        DEFAULT,
        "default",
        "the file does not tell the scale of pixels that it was trained on; assumed: symmetric, "
        "-1 to 1. If training used another: --input-scale unit, raw, imagenet or caffe, or "
        "--input-mean and --input-std",
    )
