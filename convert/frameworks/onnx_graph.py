"""An ONNX file as a `Network`: the source is a graph already, the reference is it untouched."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from convert.checkpoint import sniff
from convert.errors import CheckpointError
from convert.graph import free_batch, initializers, prune, scale_resizes, upgrade


class OnnxNetwork:
    """One image input and one chosen output of an ONNX file."""

    framework = "onnx"

    def __init__(self, path: Path, *, output: int = 0) -> None:
        """Read a file.

        Args:
            path: the ONNX file.
            output: which of its outputs is used; the others are pruned away.

        Raises:
            CheckpointError: not an ONNX file, damaged, without such an output, or that output is
                not made of one float32 image.
        """
        if sniff(path) != "onnx":
            raise CheckpointError(f"{path}: not an ONNX file")
        try:
            model = onnx.load(path)
            onnx.checker.check_model(model)
        except Exception as error:  # protobuf's and the checker's exceptions share no base
            reason = " ".join(str(error).split())[:300]
            raise CheckpointError(f"{path}: not a valid ONNX file: {reason}") from error
        if output >= len(model.graph.output):
            raise CheckpointError(
                f"{path}: has {len(model.graph.output)} outputs; needed: {output + 1}"
            )
        self._model = prune(model, model.graph.output[output].name)
        self.input_shape = _image_shape(self._model.graph.input, path)  # (C, H, W); 0: any
        self._session: ort.InferenceSession | None = None

    def forward(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, C, H, W) float32 to the raw output: the file as it came, no optimisation."""
        if self._session is None:
            options = ort.SessionOptions()
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
            self._session = ort.InferenceSession(
                self._model.SerializeToString(), options, ["CPUExecutionProvider"]
            )
        name = self._model.graph.input[0].name
        return np.concatenate([self._session.run(None, {name: row[np.newaxis]})[0] for row in x])

    def export(self) -> onnx.ModelProto:
        """The graph brought to our opset, with a free batch axis; see `Network.export`."""
        # sizes become scales while the batch is still what the file was made for
        return scale_resizes(free_batch(scale_resizes(upgrade(self._model))))

    def weights(self) -> Mapping[str, NDArray[np.generic]]:
        """The file's initializers."""
        return initializers(self._model)


def _image_shape(inputs: Sequence[onnx.ValueInfoProto], path: Path) -> tuple[int, ...]:
    found = [
        (value.name, value.type.tensor_type.elem_type, value.type.tensor_type.shape.dim)
        for value in inputs
    ]
    if len(found) != 1 or found[0][1] != onnx.TensorProto.FLOAT or len(found[0][2]) != 4:
        listed = ", ".join(
            f"{name} {onnx.TensorProto.DataType.Name(kind).lower()} of {len(dims)} axes"
            for name, kind, dims in found
        )
        raise CheckpointError(
            f"{path}: takes {listed or 'nothing'}; needed: one float image (N, C, H, W)"
        )
    return tuple(dim.dim_value for dim in found[0][2][1:])
