"""Operators in torch give what onnxruntime gives; what they do not cover is refused."""

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from convert.quantize.learn.errors import UnknownOperatorError
from convert.quantize.learn.torch_graph import TorchGraph

RANDOM = np.random.default_rng(4)
IMAGE = RANDOM.normal(size=(1, 4, 6, 8)).astype(np.float32)
MATRIX = RANDOM.normal(size=(3, 5)).astype(np.float32)
POSITIVE = np.abs(IMAGE) + 1
KERNEL = RANDOM.normal(size=(6, 4, 3, 3)).astype(np.float32)
GROUPED = RANDOM.normal(size=(4, 1, 3, 3)).astype(np.float32)
BIAS = RANDOM.normal(size=6).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


CASES: list[tuple[str, list[np.ndarray | None], dict[str, Any]]] = [
    ("Abs", [IMAGE], {}),
    ("AveragePool", [IMAGE], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    ("AveragePool", [IMAGE], {"kernel_shape": [2, 2], "strides": [2, 2], "count_include_pad": 1}),
    ("BatchNormalization", [IMAGE, *[np.abs(BIAS[:4]) + 0.1] * 4], {"epsilon": 1e-3}),
    ("Cast", [IMAGE], {"to": TensorProto.INT32}),
    ("Clip", [IMAGE, floats(-0.5).reshape(()), floats(0.7).reshape(())], {}),
    ("Clip", [IMAGE, None, floats(0.7).reshape(())], {}),
    ("Concat", [IMAGE, IMAGE], {"axis": 1}),
    ("Conv", [IMAGE, KERNEL, BIAS], {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    ("Conv", [IMAGE, KERNEL], {"pads": [0, 1, 2, 1], "dilations": [2, 1]}),
    ("Conv", [IMAGE, GROUPED], {"group": 4, "pads": [1, 1, 1, 1]}),
    ("ConvTranspose", [IMAGE, KERNEL.transpose(1, 0, 2, 3).copy()], {"strides": [2, 2]}),
    ("Div", [ints(7, -7), ints(2, 2)], {}),
    ("Elu", [IMAGE], {"alpha": 0.5}),
    ("Erf", [IMAGE], {}),
    ("Expand", [floats(1, 2), ints(3, 2)], {}),
    ("Flatten", [IMAGE], {"axis": 2}),
    ("Gather", [IMAGE, ints(0, -1)], {"axis": 3}),
    ("Gather", [IMAGE, np.array(1, np.int64)], {"axis": 1}),
    ("Gemm", [MATRIX, MATRIX, floats(1, 2, 3)], {"transB": 1, "alpha": 0.5, "beta": 2.0}),
    ("GlobalAveragePool", [IMAGE], {}),
    ("GlobalMaxPool", [IMAGE], {}),
    ("HardSigmoid", [IMAGE], {"alpha": 0.3}),
    ("HardSwish", [IMAGE], {}),
    ("LayerNormalization", [IMAGE, np.ones(8, np.float32)], {"epsilon": 1e-3}),
    ("LeakyRelu", [IMAGE], {"alpha": 0.2}),
    ("MatMul", [MATRIX, MATRIX.T.copy()], {}),
    ("MaxPool", [IMAGE], {"kernel_shape": [3, 3], "pads": [0, 0, 1, 1], "strides": [2, 2]}),
    ("MaxPool", [IMAGE], {"kernel_shape": [3, 3], "ceil_mode": 1, "strides": [2, 2]}),
    ("Max", [IMAGE, POSITIVE - 2], {}),
    ("PRelu", [IMAGE, floats(0.1, 0.2, 0.3, 0.4).reshape(4, 1, 1)], {}),
    ("Pad", [IMAGE, ints(0, 0, 1, 0, 0, 0, 2, 1), floats(0.5).reshape(())], {}),
    ("Pow", [POSITIVE, floats(1.5)], {}),
    ("ReduceL2", [IMAGE], {"axes": [1], "keepdims": 0}),
    ("ReduceMean", [IMAGE], {"axes": [2, 3]}),
    ("ReduceMax", [IMAGE], {"keepdims": 0}),
    ("ReduceSum", [IMAGE, ints(1)], {"keepdims": 1}),
    ("Reshape", [IMAGE, ints(0, -1, 8)], {}),
    (
        "Resize",
        [IMAGE, None, floats(1, 1, 2, 2)],
        {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
    ),
    (
        "Resize",
        [IMAGE, None, None, ints(1, 4, 11, 15)],
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    ),
    (
        "Resize",
        [IMAGE, None, floats(1, 1, 2, 2)],
        {
            "mode": "nearest",
            "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": "floor",
        },
    ),
    ("Shape", [IMAGE], {}),
    ("Sigmoid", [IMAGE], {}),
    ("Slice", [IMAGE, ints(1, 0), ints(-1, 100), ints(2, 3), ints(1, 3)], {}),
    ("Softmax", [IMAGE], {"axis": 1}),
    ("Split", [IMAGE, ints(1, 3)], {"axis": 1}),
    ("Split", [IMAGE], {"axis": 3}),
    ("Squeeze", [IMAGE, ints(0)], {}),
    ("Transpose", [IMAGE], {"perm": [0, 2, 3, 1]}),
    ("Unsqueeze", [MATRIX, ints(0, -1)], {}),
    ("Where", [MATRIX > 0, MATRIX, -MATRIX], {}),
]
REFUSED: list[tuple[str, list[np.ndarray | None], dict[str, Any], str]] = [
    ("LRN", [IMAGE], {"size": 3}, "LRN"),
    ("AveragePool", [IMAGE], {"kernel_shape": [2, 2], "ceil_mode": 1}, "ceil_mode"),
    ("Pad", [IMAGE, ints(0, 0, 1, 1, 0, 0, 1, 1)], {"mode": "reflect"}, "Pad of mode reflect"),
    ("Resize", [IMAGE, None, floats(1, 1, 2, 2)], {"mode": "cubic"}, "Resize, cubic"),
    ("Slice", [IMAGE, ints(5), ints(0), ints(2), ints(-1)], {}, "backwards"),
]


def model_of(
    op_type: str, inputs: list[np.ndarray | None], options: dict[str, Any]
) -> onnx.ModelProto:
    """Return a graph of one node; all inputs but the first are constants."""
    names = [f"i{index}" if array is not None else "" for index, array in enumerate(inputs)]
    outputs = ["o0", "o1"] if op_type == "Split" else ["o0"]
    node = helper.make_node(op_type, names, outputs, op_type, **options)
    first = inputs[0]
    assert first is not None
    kind = helper.np_dtype_to_tensor_dtype(first.dtype)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("i0", kind, first.shape)],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [
            numpy_helper.from_array(array, name)
            for name, array in zip(names[1:], inputs[1:], strict=True)
            if array is not None
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


@pytest.mark.parametrize(("op_type", "inputs", "options"), CASES)
def test_an_operator_gives_what_onnxruntime_gives(
    op_type: str, inputs: list[np.ndarray | None], options: dict[str, Any]
) -> None:
    model = model_of(op_type, inputs, options)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    first = inputs[0]
    assert first is not None
    expected = dict(zip(names, session.run(names, {"i0": first}), strict=True))
    actual = TorchGraph(model).run({"i0": first}, names)
    for name in names:
        assert actual[name].numpy().shape == expected[name].shape
        np.testing.assert_allclose(actual[name].numpy(), expected[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("op_type", "inputs", "options", "text"), REFUSED)
def test_an_unknown_operator_or_option_is_named(
    op_type: str, inputs: list[np.ndarray | None], options: dict[str, Any], text: str
) -> None:
    first = inputs[0]
    assert first is not None
    with pytest.raises(UnknownOperatorError, match=text):
        TorchGraph(model_of(op_type, inputs, options)).run({"i0": first}, ["o0"])


def test_gradients_pass_from_the_output_to_a_constant() -> None:
    graph = TorchGraph(model_of("Mul", [MATRIX, MATRIX], {}), {"Mul": lambda node: _doubled})
    values = torch.tensor(MATRIX, requires_grad=True)
    _doubled([values]).sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad, torch.full_like(values, 2.0))
    assert np.array_equal(graph.run({"i0": MATRIX}, ["o0"])["o0"].numpy(), 2 * MATRIX)


def _doubled(inputs: Any) -> torch.Tensor:
    result: torch.Tensor = inputs[0] * 2
    return result
