"""TensorFlow Lite files: converted to ONNX, and the ONNX graph checked against the interpreter."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from convert.checkpoint import require_kind
from convert.errors import CheckpointError
from convert.export.frameworks.keras_model import import_keras
from convert.export.graph.opset import OPSET
from runtime.errors import one_line

# of the range of each output on noise. Both compute in float32, in another order: of BlazeFace the
# largest difference is 9e-6 of the side of its input
TOLERANCE = 1e-4
NOISE_SAMPLES = 3


def convert_tflite(path: Path, target: Path) -> Path:
    """Convert a TensorFlow Lite file of one image to ONNX; check it; return `target`.

    Raises:
        CheckpointError: it is no TensorFlow Lite file, has operators without an ONNX form, or its
            ONNX graph differs from TensorFlow's interpreter by more than TOLERANCE.
    """
    require_kind(path, "tflite")
    import_keras()  # TensorFlow, with the settings that must precede its import
    import tf2onnx

    try:
        with _without_advice():
            model, _ = tf2onnx.convert.from_tflite(str(path), opset=OPSET)
        reference = open_interpreter(path)
    except Exception as error:  # tf2onnx and TensorFlow raise a dozen types
        raise CheckpointError(f"{path}: cannot be converted: {one_line(error)}") from error
    onnx.save(model, target)
    session = ort.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    _compare(path, reference, session)
    return target


def open_interpreter(path: Path) -> Any:
    """Return TensorFlow's interpreter of a file."""
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


def run_tflite(interpreter: Any, image: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Run an interpreter on one image (1, H, W, C); return its outputs in order."""
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return [interpreter.get_tensor(o["index"]) for o in interpreter.get_output_details()]


def _compare(path: Path, interpreter: Any, session: ort.InferenceSession) -> None:
    details = interpreter.get_input_details()
    if len(details) != 1 or details[0]["dtype"] != np.float32:
        raise CheckpointError(f"{path}: needed: one float32 image in")
    generator = np.random.default_rng(0)
    name = session.get_inputs()[0].name
    for _ in range(NOISE_SAMPLES):
        image = generator.uniform(-1, 1, details[0]["shape"]).astype(np.float32)
        outputs = session.run(None, {name: image})
        for expected, actual in zip(run_tflite(interpreter, image), outputs, strict=True):
            difference = float(np.abs(expected - actual).max() / np.ptp(expected))
            if not difference <= TOLERANCE:
                raise CheckpointError(
                    f"{path}: its ONNX graph differs from TensorFlow Lite by {difference:.1e} of "
                    f"the output's range; allowed: {TOLERANCE:.0e}"
                )
