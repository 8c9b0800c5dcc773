"""An ONNX file as a `Network`: the source is a graph already, the reference is it untouched."""

from collections.abc import Mapping
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
            CheckpointError: not an ONNX file, damaged, or without such an output.
        """
        if sniff(path) != "onnx":
            raise CheckpointError(f"{path}: not an ONNX file")
        try:
            model = onnx.load(path)
            onnx.checker.check_model(model)
        except Exception as error:  # protobuf's and the checker's exceptions share no base
            raise CheckpointError(f"{path}: not a valid ONNX file: {str(error)[:300]}") from error
        if output >= len(model.graph.output):
            raise CheckpointError(
                f"{path}: has {len(model.graph.output)} outputs; needed: {output + 1}"
            )
        self._model = prune(model, model.graph.output[output].name)
        dims = self._model.graph.input[0].type.tensor_type.shape.dim
        self.input_shape = tuple(dim.dim_value for dim in dims[1:])  # (C, H, W)
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
