"""An ONNX file as a `Network`: the source is a graph already, the reference is it untouched."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from convert.checkpoint import sniff
from convert.errors import CheckpointError
from convert.graph import (
    free_batch,
    initializers,
    prune,
    scale_resizes,
    take_planes,
)
from convert.opset import upgrade


class OnnxNetwork:
    """One image input and chosen outputs of an ONNX file."""

    framework = "onnx"

    def __init__(
        self,
        path: Path,
        *,
        outputs: Sequence[int | str] = (0,),
        layout: Literal["NCHW", "NHWC"] = "NCHW",
    ) -> None:
        """Read a file.

        Args:
            path: the ONNX file.
            outputs: which of its outputs are used, by index or name, in the order wanted; the
                others are pruned away.
            layout: that its input has.

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
        names = [value.name for value in model.graph.output]
        self._model = prune(model, [_output_name(names, wanted, path) for wanted in outputs])
        self._layout = layout
        shape = _image_shape(self._model.graph.input, path)
        # (C, H, W); 0: any
        self.input_shape = shape if layout == "NCHW" else (shape[2], *shape[:2])
        self._session: ort.InferenceSession | None = None

    def forward(self, *inputs: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        """(N, C, H, W) float32, or (N, H, W, C), to the raw outputs: the file as it came."""
        if self._session is None:
            options = ort.SessionOptions()
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
            self._session = ort.InferenceSession(
                self._model.SerializeToString(), options, ["CPUExecutionProvider"]
            )
        (x,) = inputs
        name = self._model.graph.input[0].name
        rows = [self._session.run(None, {name: row[np.newaxis]}) for row in x]
        return tuple(np.concatenate(arrays) for arrays in zip(*rows, strict=True))

    def export(self) -> onnx.ModelProto:
        """The graph brought to our opset, with a free batch axis; see `Network.export`."""
        model = upgrade(self._model)
        if self._layout == "NHWC":
            model = take_planes(model)
        # sizes become scales while the batch is still what the file was made for
        return scale_resizes(free_batch(scale_resizes(model)))

    def weights(self) -> Mapping[str, NDArray[np.generic]]:
        """The file's initializers."""
        return initializers(self._model)


def _output_name(names: Sequence[str], wanted: int | str, path: Path) -> str:
    if isinstance(wanted, str):
        if wanted not in names:
            raise CheckpointError(f"{path}: has the outputs {', '.join(names)}; needed: {wanted}")
        return wanted
    if wanted >= len(names):
        raise CheckpointError(f"{path}: has {len(names)} outputs; needed: {wanted + 1}")
    return names[wanted]


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
