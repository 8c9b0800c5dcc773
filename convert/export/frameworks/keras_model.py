"""Keras models as networks."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from convert.checkpoint import check_keras_config, require_kind
from convert.checkpoint.keras_file import keras2_advice
from convert.errors import CheckpointError
from convert.export.frameworks import forward_by_row
from runtime.errors import one_line

UNKNOWN_LAYER = re.compile(r"(?:Unknown layer: |Could not locate class )'([^']{1,80})'")


def import_keras() -> Any:
    """Import Keras on TensorFlow, after settings that must precede the first import."""
    # oneDNN's kernels corrupt the heap on separable convolutions, and compute less exactly
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras

    return keras


def load_keras(path: Path) -> Any:
    """Load a Keras 2 .h5 or Keras 3 .keras file without running code from it.

    Raises:
        CheckpointError: it is no Keras file, damaged, or has layers that carry code.
    """
    kind = require_kind(path, "hdf5", "keras")
    check_keras_config(path)
    from convert.export.frameworks import keras2

    keras = import_keras()
    try:
        if kind == "keras":
            return keras.models.load_model(path, compile=False)
        with keras2.temporary_directory() as directory:
            mended = keras2.mended_file(path, Path(directory))
            return keras.models.load_model(
                mended, compile=False, custom_objects=keras2.custom_objects()
            )
    except CheckpointError:
        raise
    except Exception as error:  # for a damaged file h5py and Keras raise a dozen types
        foreign = UNKNOWN_LAYER.search(str(error))
        reason = (
            f"{foreign[1]!r} is no layer of Keras, and its code is not in the file. Write a recipe "
            "of your own that defines it (convert/README.md)"
            if foreign
            else one_line(error)
        )
        raise CheckpointError(
            f"{path}: Keras cannot load it: {reason}{keras2_advice(path)}"
        ) from error


def as_inputs(model: Any, x: Any) -> Any:
    """Return one image batch as a model takes it: a model saved with a list warns without one."""
    # a Sequential read from .h5 has no `input` before its first call
    return [x] if isinstance(getattr(model, "input", None), list) else x


class KerasNetwork:
    """A Keras model with one image input (N, H, W, C) and one output."""

    framework = "keras"

    def __init__(self, model: Any, *, where: str = "the Keras model") -> None:
        """Wrap a loaded model.

        Args:
            model: keras.Model.
            where: the file that it was read from; begins every error.

        Raises:
            CheckpointError: it has not one image input of fixed size and one output.
        """
        if len(model.inputs) != 1 or len(model.outputs) != 1:
            raise CheckpointError(
                f"{where}: the model has {len(model.inputs)} inputs and {len(model.outputs)} "
                "outputs; needed: one image in, one tensor out"
            )
        shape = tuple(model.inputs[0].shape)
        if len(shape) != 4 or None in shape[1:] or shape[3] not in (1, 3):
            raise CheckpointError(
                f"{where}: the model takes {shape}; needed: (None, height, width, 1 or 3)"
            )
        self._model = model
        self._where = where
        self.input_shape: tuple[int, int, int] = shape[1:]  # (H, W, C)
        self.output_shape: tuple[int | None, ...] = tuple(model.outputs[0].shape[1:])
        self.output_width = int(model.outputs[0].shape[-1])

    @property
    def ends_in_softmax(self) -> bool:
        """Return whether the output on random images is a probability distribution.

        The last layer does not show it: softmax may be in a nested model, or before a Dropout.

        Raises:
            CheckpointError: the values are in [0, 1] and do not sum to 1: sigmoids.
        """
        noise = np.random.default_rng(0).uniform(-1, 1, (3, *self.input_shape))
        (output,) = self.forward(noise.astype(np.float32))
        is_distribution = bool((output >= 0).all() and np.abs(output.sum(axis=-1) - 1).max() < 1e-3)
        if not is_distribution and (output >= 0).all() and (output <= 1).all():
            raise CheckpointError(
                f"{self._where}: the model returns values in [0, 1] that do not sum to 1: "
                "independent labels (sigmoid); needed: one class of several (softmax, or logits)"
            )
        return is_distribution

    def forward(self, *inputs: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        """Run the model on (N, H, W, C) float32, one sample at a time; see `Network.forward`."""
        return forward_by_row(lambda x: [self._call(x).numpy()], inputs)

    def export(self) -> onnx.ModelProto:
        """Export with tf2onnx; see `Network.export`."""
        from convert.export.frameworks.keras_export import export_call

        return export_call(self._call, self.input_shape)

    def _call(self, x: Any) -> Any:
        output = self._model(as_inputs(self._model, x), training=False)
        # a model may name its one output in a dict, or have it in a list
        while isinstance(output, Mapping | list | tuple):
            (output,) = output.values() if isinstance(output, Mapping) else output
        return output

    def weights(self) -> Mapping[str, NDArray[np.generic]]:
        """Return the arrays by position: Keras numbers names with a process-wide counter."""
        return {f"{i:03d}": weight.numpy() for i, weight in enumerate(self._model.weights)}
