"""The scale of pixels that the first layers of a Keras model expect, measured by running them."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from convert.export.frameworks.keras_model import as_inputs

LEVELS = (0.0, 1.0, 255.0)  # of pixels
# layers with weights that scale pixels; any other layer with weights ends the preprocessing
SCALING = ("Normalization",)
MIN_RANGE, MAX_RANGE = 0.5, 20.0  # of what the network gets: networks are trained on about 1
CAFFE_OFFSET = -50.0  # caffe's networks get levels minus their mean, 104 to 124


class _Reached(BaseException):  # no Exception: Keras adds its own text to those
    """The first layer with weights was called; holds its input."""

    def __init__(self, value: NDArray[np.float32]) -> None:
        super().__init__()
        self.value = value


def scale_of_layers(model: Any) -> Literal["raw", "unit"] | None:
    """Return the scale of the pixels that a model takes, judged by what its first layers do.

    Returns:
        "raw" or "unit" if its own layers bring such pixels to the range that networks are trained
        on. None: no layer scales pixels, or the layers do something else.
    """
    zero, one, full = (_reach(model, level) for level in LEVELS)
    if np.allclose(full, LEVELS[2]) and np.allclose(one, LEVELS[1]) and np.allclose(zero, 0):
        return None
    if 0 < np.abs(full - zero).max() <= MAX_RANGE or zero.min() < CAFFE_OFFSET:
        return "raw"
    return "unit" if MIN_RANGE <= np.abs(one - zero).max() <= MAX_RANGE else None


def _reach(model: Any, level: float) -> NDArray[np.float32]:
    """Run a picture of one level up to the first layer of weights; return its center there."""
    layers = [layer for layer in model._flatten_layers() if _has_own_weights(layer)]
    for layer in layers:
        layer.call = _stop
    picture = np.full((1, *model.inputs[0].shape[1:]), level, np.float32)
    try:
        model(as_inputs(model, picture), training=False)
    except _Reached as reached:
        value = reached.value
        # the border may be padding
        return value[:, value.shape[1] // 2, value.shape[2] // 2] if value.ndim == 4 else value
    finally:
        for layer in layers:
            del layer.call  # the class's own is behind it
    return np.full((1, 1), level, np.float32)  # a model without weights


def _has_own_weights(layer: Any) -> bool:
    inner = list(layer._flatten_layers(include_self=False))
    return bool(layer.weights) and not inner and type(layer).__name__ not in SCALING


def _stop(*inputs: Any, **_: Any) -> Any:
    raise _Reached(np.asarray(inputs[0], np.float32))
