"""ONNX files as networks; the reference is the file as it is, run by onnxruntime."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from convert.errors import CheckpointError
from convert.export.frameworks import forward_by_row
from convert.export.frameworks.onnx_file import read_onnx
from convert.export.graph.free_batch import free_reshapes
from convert.export.graph.opset import convert_opset
from convert.export.graph.surgery import (
    free_batch,
    has_subgraphs,
    initializers,
    nhwc_to_nchw,
    prune,
    scale_resizes,
    simplify,
)
from runtime.engine.session import OnnxruntimeError
from runtime.errors import one_line


class OnnxNetwork:
    """An ONNX file with one image input, and some of its outputs."""

    framework = "onnx"

    def __init__(
        self,
        path: Path,
        *,
        outputs: Sequence[int | str] = (0,),
        layout: Literal["NCHW", "NHWC"] = "NCHW",
        size: tuple[int, int] | None = None,
    ) -> None:
        """Read a file.

        Args:
            path: the ONNX file.
            outputs: indices or names of the outputs to use, in this order; others are removed.
            layout: axes of its input.
            size: (height, width) to use a file at that takes images of any size.

        Raises:
            CheckpointError: the file cannot be read (see `read_onnx`); it lacks an output, or one
                is not float32; its input is not one float32 image, or has another size; or it
                has branches that do not fold away (If, Loop, Scan).
        """
        whole = read_onnx(path)
        names = [value.name for value in whole.graph.output]
        output_names = [_output_name(names, output, path) for output in outputs]
        self._path = path
        self._model = prune(whole, output_names)  # the reference
        self._layout = layout
        shape = _image_shape(self._model.graph.input, path)
        _check_outputs(self._model.graph, path)
        if size is not None:
            shape = _with_size(self._model, shape, size, layout, path)
        self._exported = _without_subgraphs(self._model, path)
        # (C, H, W); 0: any size
        self.input_shape = shape if layout == "NCHW" else (shape[2], *shape[:2])
        self._session: ort.InferenceSession | None = None

    def forward(self, *inputs: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        """Run the file on float32 images in its layout, one at a time; see `Network.forward`."""
        if self._session is None:
            self._session = _reference_session(self._model, self._path)
        session, name = self._session, self._model.graph.input[0].name
        try:
            return forward_by_row(lambda x: session.run(None, {name: x}), inputs)
        except OnnxruntimeError as error:
            shape = (1, *inputs[0].shape[1:])
            raise CheckpointError(
                f"{self._path}: onnxruntime cannot run it on {shape}: {one_line(error)}"
            ) from error

    def export(self) -> onnx.ModelProto:
        """Return the graph at OPSET, for any batch size; see `Network.export`.

        Raises:
            CheckpointError: the graph computes for one image at a time only.
            ConvertError: an operator has no equivalent at OPSET.
        """
        model = convert_opset(self._exported)
        if self._layout == "NHWC":
            model = nhwc_to_nchw(model)
        # sizes become scales first, while the batch still is the one that the file was made for
        freed = scale_resizes(free_batch(free_reshapes(scale_resizes(model))))
        if all(self.input_shape):
            _check_batch_of_two(freed, self.input_shape, self._path)
        return freed

    def weights(self) -> Mapping[str, NDArray[np.generic]]:
        """Return the file's initializers."""
        return initializers(self._model)


def _output_name(names: Sequence[str], output: int | str, path: Path) -> str:
    """Return the name of an output given by index or name."""
    if isinstance(output, str):
        if output not in names:
            raise CheckpointError(f"{path}: has the outputs {', '.join(names)}; needed: {output}")
        return output
    if output >= len(names):
        raise CheckpointError(f"{path}: has {len(names)} outputs; needed: {output + 1}")
    return names[output]


def _check_outputs(graph: onnx.GraphProto, path: Path) -> None:
    """Check that every output is a float tensor that a node computes."""
    computed = {name for node in graph.node for name in node.output}
    for value in graph.output:
        kind = value.type.WhichOneof("value")
        if value.name not in computed:
            fault = "an input, or a constant"
        elif kind != "tensor_type":
            fault = f"a {(kind or 'value of no type').removesuffix('_type')}"
        elif value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
            fault = _element_type(value)
        else:
            continue
        raise CheckpointError(
            f"{path}: its output {value.name!r} is {fault}; "
            "needed: a float tensor that it computes. "
            "Choose another in the recipe: OnnxNetwork(path, outputs=[...])"
        )


def _image_shape(inputs: Sequence[onnx.ValueInfoProto], path: Path) -> tuple[int, ...]:
    """Return the sizes of the one image input without its batch axis; 0: any size."""
    dims_of = [(value, value.type.tensor_type.shape.dim) for value in inputs]
    if len(dims_of) != 1 or _element_type(dims_of[0][0]) != "float" or len(dims_of[0][1]) != 4:
        listed = ", ".join(
            f"{value.name} {_element_type(value)} of {len(dims)} axes" for value, dims in dims_of
        )
        raise CheckpointError(
            f"{path}: takes {listed or 'nothing'}; needed: one float image (N, C, H, W)"
        )
    batch, *sides = (dim.dim_value for dim in dims_of[0][1])
    if batch > 1:
        raise CheckpointError(
            f"{path}: takes exactly {batch} images at a time; "
            "export it for one, or with a free batch axis"
        )
    return tuple(sides)


def _with_size(
    model: onnx.ModelProto,
    shape: tuple[int, ...],
    size: tuple[int, int],
    layout: Literal["NCHW", "NHWC"],
    path: Path,
) -> tuple[int, ...]:
    """Fix free height and width in the model, in place, and return its input's shape.

    Sizes that the graph computes from the input's size become constants when it is simplified.
    """
    sides = slice(1, 3) if layout == "NCHW" else slice(0, 2)
    if any(side not in (0, fixed) for side, fixed in zip(shape[sides], size, strict=True)):
        raise CheckpointError(f"{path}: takes images of {shape[sides]}; the recipe needs {size}")
    dims = list(model.graph.input[0].type.tensor_type.shape.dim)[1:][sides]
    for dim, side in zip(dims, size, strict=True):
        dim.dim_value = side
    del model.graph.value_info[:]
    fixed_shape = list(shape)
    fixed_shape[sides] = size
    return tuple(fixed_shape)


def _without_subgraphs(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """Fold branches with a constant condition away, and refuse a model with others."""
    if not has_subgraphs(model):
        return model
    # exporters write If where they do not know a shape; a fixed size makes the condition constant
    flat = simplify(model)
    if has_subgraphs(flat):
        raise CheckpointError(
            f"{path}: has branches or loops that depend on the image (If, Loop or Scan); export it "
            "for a fixed size, without non-maximum suppression"
        )
    return flat


def _check_batch_of_two(model: onnx.ModelProto, shape: tuple[int, ...], path: Path) -> None:
    """Check that the graph takes two images: constants may be valid for a batch of one only."""
    name = model.graph.input[0].name
    try:
        outputs = _reference_session(model, path).run(None, {name: np.zeros((2, *shape), "f")})
        is_single = any(len(array) != 2 for array in outputs)
    except OnnxruntimeError:
        is_single = True
    if is_single:
        raise CheckpointError(
            f"{path}: computes for one image at a time only; export it with a free batch axis "
            "(torch: dynamic_axes={'x': {0: 'N'}}, or dynamic_shapes)"
        )


def _reference_session(model: onnx.ModelProto, path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4  # onnxruntime raises the errors that it logs
    try:
        return ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    except OnnxruntimeError as error:
        raise CheckpointError(f"{path}: onnxruntime cannot load it: {one_line(error)}") from error


def _element_type(value: onnx.ValueInfoProto) -> str:
    return onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()
