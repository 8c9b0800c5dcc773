"""An ONNX file as a `Network`: the source is a graph already, the reference is it untouched."""

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
from runtime.errors import one_line


class OnnxNetwork:
    """One image input and chosen outputs of an ONNX file."""

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
            outputs: which of its outputs are used, by index or name, in the order wanted; the
                others are pruned away.
            layout: that its input has.
            size: (height, width) to use it at, of a file that takes several.

        Raises:
            CheckpointError: not an ONNX file, or not one that can be packaged (see `read_onnx`);
                without such an output; that output is not float32, or not made of one float32
                image alone; of another size; or made by If or Loop.
        """
        whole = read_onnx(path)
        names = [value.name for value in whole.graph.output]
        chosen = [_output_name(names, wanted, path) for wanted in outputs]
        self._path = path
        self._model = prune(whole, chosen)  # the reference
        self._layout = layout
        shape = _image_shape(self._model.graph.input, path)
        _check_outputs(self._model.graph, path)
        if size is not None:
            shape = _with_size(self._model, shape, size, layout, path)
        self._flat = _without_subgraphs(self._model, path)  # what is exported
        # (C, H, W); 0: any
        self.input_shape = shape if layout == "NCHW" else (shape[2], *shape[:2])
        self._session: ort.InferenceSession | None = None

    def forward(self, *inputs: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        """(N, C, H, W) float32, or (N, H, W, C), to the raw outputs: the file as it came."""
        if self._session is None:
            self._session = _reference_session(self._model, self._path)
        session, name = self._session, self._model.graph.input[0].name
        try:
            return forward_by_row(lambda x: session.run(None, {name: x}), inputs)
        except Exception as error:  # onnxruntime's exceptions share no base class of their own
            shape = (1, *inputs[0].shape[1:])
            raise CheckpointError(
                f"{self._path}: onnxruntime cannot run it on {shape}: {one_line(error)}"
            ) from error

    def export(self) -> onnx.ModelProto:
        """The graph brought to our opset, with a free batch axis; see `Network.export`."""
        model = convert_opset(self._flat)
        if self._layout == "NHWC":
            model = nhwc_to_nchw(model)
        # sizes become scales while the batch is still what the file was made for
        freed = scale_resizes(free_batch(free_reshapes(scale_resizes(model))))
        if all(self.input_shape):
            _check_batch(freed, self.input_shape, self._path)
        return freed

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


def _check_outputs(graph: onnx.GraphProto, path: Path) -> None:
    computed = {name for node in graph.node for name in node.output}
    for value in graph.output:
        kind = value.type.WhichOneof("value")
        if value.name not in computed:
            found = "an input, or a constant"
        elif kind != "tensor_type":
            found = f"a {(kind or 'value of no type').removesuffix('_type')}"
        elif value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
            found = _element(value)
        else:
            continue
        raise CheckpointError(
            f"{path}: its output {value.name!r} is {found}; "
            "needed: a float tensor that it computes. "
            "Choose another in the recipe: OnnxNetwork(path, outputs=[...])"
        )


def _image_shape(inputs: Sequence[onnx.ValueInfoProto], path: Path) -> tuple[int, ...]:
    found = [(value, value.type.tensor_type.shape.dim) for value in inputs]
    if len(found) != 1 or _element(found[0][0]) != "float" or len(found[0][1]) != 4:
        listed = ", ".join(
            f"{value.name} {_element(value)} of {len(dims)} axes" for value, dims in found
        )
        raise CheckpointError(
            f"{path}: takes {listed or 'nothing'}; needed: one float image (N, C, H, W)"
        )
    batch, *sides = (dim.dim_value for dim in found[0][1])
    if batch > 1:
        raise CheckpointError(
            f"{path}: takes {batch} images at a time, no more and no fewer; "
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
    """The file's shape with free sides fixed, there too: sizes computed from it become constant."""
    at = slice(1, 3) if layout == "NCHW" else slice(0, 2)
    if any(side not in (0, wanted) for side, wanted in zip(shape[at], size, strict=True)):
        raise CheckpointError(f"{path}: takes images of {shape[at]}; the recipe wants {size}")
    dims = list(model.graph.input[0].type.tensor_type.shape.dim)[1:][at]
    for dim, side in zip(dims, size, strict=True):
        dim.dim_value = side
    del model.graph.value_info[:]
    fixed = list(shape)
    fixed[at] = size
    return tuple(fixed)


def _without_subgraphs(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    if not has_subgraphs(model):
        return model
    # exporters write If where a shape was not known to them; known, it folds away
    flat = simplify(model)
    if has_subgraphs(flat):
        raise CheckpointError(
            f"{path}: decides while it runs what it computes (If, Loop or Scan); export it for a "
            "fixed size, without non-maximum suppression"
        )
    return flat


def _check_batch(model: onnx.ModelProto, shape: tuple[int, ...], path: Path) -> None:
    """Some constants of a graph exported for one image hold only for one."""
    given = model.graph.input[0].name
    try:
        outputs = _reference_session(model, path).run(None, {given: np.zeros((2, *shape), "f")})
        alone = any(len(array) != 2 for array in outputs)
    except Exception:  # onnxruntime's exceptions share no base class of their own
        alone = True
    if alone:
        raise CheckpointError(
            f"{path}: made for one image at a time; export it with a free batch axis "
            "(torch: dynamic_axes={'x': {0: 'N'}}, or dynamic_shapes)"
        )


def _reference_session(model: onnx.ModelProto, path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4  # what it logs as errors, it raises too
    try:
        return ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class of their own
        raise CheckpointError(f"{path}: onnxruntime cannot load it: {one_line(error)}") from error


def _element(value: onnx.ValueInfoProto) -> str:
    return onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()
