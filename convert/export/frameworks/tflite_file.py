"""TensorFlow Lite files as networks; the reference is TensorFlow's interpreter."""

import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from convert.checkpoint import require_kind
from convert.errors import CheckpointError
from convert.export.frameworks import forward_by_row
from convert.export.frameworks.keras_model import import_keras
from convert.export.frameworks.onnx_graph import OnnxNetwork
from convert.export.graph.opset import OPSET
from runtime.errors import one_line


class TfliteNetwork:
    """A TensorFlow Lite file of one float32 image (N, H, W, C).

    tf2onnx converts it. The pipeline compares the graph with the interpreter on every test sample,
    as it does with any framework.
    """

    framework = "tflite"

    def __init__(self, path: Path) -> None:
        """Read a file.

        Raises:
            CheckpointError: it is no TensorFlow Lite file, takes anything but one float32 image, or
                has operators without an ONNX form.
        """
        require_kind(path, "tflite")
        import_keras()  # TensorFlow, with the settings that must precede its import
        import tf2onnx

        try:
            with _without_advice():
                model, _ = tf2onnx.convert.from_tflite(str(path), opset=OPSET)
            self._interpreter = _open_interpreter(path)
        except Exception as error:  # tf2onnx and TensorFlow raise a dozen types
            raise CheckpointError(f"{path}: cannot be converted: {one_line(error)}") from error
        details = self._interpreter.get_input_details()
        if len(details) != 1 or details[0]["dtype"] != np.float32:
            raise CheckpointError(f"{path}: needed: one float32 image in")
        with tempfile.TemporaryDirectory(prefix="slipway-tflite-") as scratch:
            converted = Path(scratch) / "converted.onnx"
            onnx.save(model, converted)
            outputs = range(len(self._interpreter.get_output_details()))
            self._graph = OnnxNetwork(converted, outputs=tuple(outputs), layout="NHWC")
        self.input_shape = self._graph.input_shape  # (C, H, W)

    def forward(self, *inputs: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        """Run the interpreter on (N, H, W, C) float32, one image at a time."""
        return forward_by_row(self._run, inputs)

    def export(self) -> onnx.ModelProto:
        """Return the graph of tf2onnx; see `Network.export`."""
        return self._graph.export()

    def weights(self) -> Mapping[str, NDArray[np.generic]]:
        """Return the tensors of that graph."""
        return self._graph.weights()

    def _run(self, image: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        interpreter = self._interpreter
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
        interpreter.invoke()
        return [interpreter.get_tensor(o["index"]) for o in interpreter.get_output_details()]


def _open_interpreter(path: Path) -> Any:
    import tensorflow as tf

    with _without_advice():
        interpreter = tf.lite.Interpreter(str(path))
    interpreter.allocate_tensors()
    return interpreter


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keep TensorFlow from printing that LiteRT, a package of its own, succeeds its interpreter."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter", UserWarning)
        yield
