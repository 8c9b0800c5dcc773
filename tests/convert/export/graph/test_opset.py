"""Graphs of other ONNX versions compute the same after conversion to OPSET, or are refused."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from convert.errors import ConvertError
from convert.export.graph.opset import OPSET, convert_opset, require_standard_operators

# float arithmetic in another order, of values around 1
TOLERANCE = 1e-6

X = np.random.default_rng(1).normal(size=(1, 4, 6, 6)).astype(np.float32)
FOUR = np.array([0.5, 1, 2, 3], np.float32)
KEYS = np.random.default_rng(2).normal(size=X.shape).astype(np.float32)
AXES = np.array([2, 3], np.int64)


def graph(
    op_type: str,
    *,
    opset: int,
    constants: Mapping[str, np.ndarray] | None = None,
    outputs: int = 1,
    domain: str = "",
    rank: int = 4,
    **attributes: Any,
) -> onnx.ModelProto:
    """Return a graph of one operator on x and the constants; its outputs are summed.

    A constant whose name begins with "none" is an input that is left out.
    """
    arrays = constants or {}
    names = [f"part{i}" for i in range(outputs)]
    inputs = ["x", *("" if name.startswith("none") else name for name in arrays)]
    nodes = [
        helper.make_node(op_type, inputs, names, domain=domain, **attributes),
        helper.make_node("Sum", names, ["y"]),
    ]
    main = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [f"d{i}" for i in range(rank)])],
        [
            numpy_helper.from_array(array, name)
            for name, array in arrays.items()
            if not name.startswith("none")
        ],
    )
    return helper.make_model(main, opset_imports=[helper.make_opsetid("", opset)], ir_version=4)


def run(model: onnx.ModelProto) -> np.ndarray:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    output: np.ndarray = session.run(None, {"x": X})[0]
    return output


def scales(height: float, width: float) -> dict[str, np.ndarray]:
    return {"scales": np.array([1, 1, height, width], np.float32)}


OLD = {
    "Upsample 7": graph("Upsample", opset=7, mode="nearest", scales=[1.0, 1.0, 2.0, 2.5]),
    "Upsample 8 linear": graph("Upsample", opset=8, mode="linear", scales=[1.0, 1.0, 2.0, 3.0]),
    "Upsample 9": graph("Upsample", opset=9, constants=scales(1.5, 2), mode="nearest"),
    "Upsample 9 linear": graph("Upsample", opset=9, constants=scales(1.5, 2), mode="linear"),
    "Resize 10": graph("Resize", opset=10, constants=scales(1.5, 2), mode="nearest"),
    "Resize 10 linear": graph("Resize", opset=10, constants=scales(2, 1.7), mode="linear"),
    "Resize 10 smaller": graph("Resize", opset=10, constants=scales(0.5, 0.4), mode="nearest"),
    "Resize 10 smaller linear": graph(
        "Resize", opset=10, constants=scales(0.7, 0.4), mode="linear"
    ),
    "Clip 6": graph("Clip", opset=7, min=0.0, max=0.5),
    "Pad 2": graph("Pad", opset=9, pads=[0, 0, 1, 1, 0, 0, 1, 1], mode="reflect"),
    "Softmax 1": graph("Softmax", opset=9, axis=1),
    "Unsqueeze 1": graph("Unsqueeze", opset=11, axes=[0], rank=5),
    "BatchNormalization 7": graph(
        "BatchNormalization", opset=8, constants=dict.fromkeys("abcd", FOUR)
    ),
}  # fmt: skip
NEW = {
    "Split 18": graph("Split", opset=18, outputs=2, num_outputs=2, axis=2),
    "Split 18, sizes": graph(
        "Split", opset=18, outputs=2, axis=2, constants={"sizes": np.array([3, 3])}
    ),
    "Pad 18": graph("Pad", opset=18, constants={"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1])}),
    "Pad 21": graph("Pad", opset=21, constants={"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1])}),
    "ReduceMean 18": graph(
        "ReduceMean", opset=18, constants={"axes": AXES}, noop_with_empty_axes=0
    ),
    "ReduceL2 18": graph("ReduceL2", opset=20, constants={"axes": AXES}),
    "Resize 19": graph(
        "Resize", opset=19, mode="linear", constants={"none": FOUR, **scales(2, 2)}
    ),
    "Mish 18": graph("Mish", opset=18),
    "Gelu 20": graph("Gelu", opset=20),
    "Gelu 20, tanh": graph("Gelu", opset=22, approximate="tanh"),
    "GroupNormalization 21": graph(
        "GroupNormalization", opset=21, constants={"scale": FOUR, "bias": FOUR}, num_groups=2
    ),
    "Swish 24": graph("Swish", opset=24),
    "Attention 23": graph("Attention", opset=23, constants={"k": KEYS, "v": KEYS}),
}  # fmt: skip


@pytest.mark.parametrize("name", [*OLD, *NEW])
def test_a_graph_of_another_opset_computes_the_same(name: str) -> None:
    original = {**OLD, **NEW}[name]
    converted = convert_opset(original)
    assert [(opset.domain, opset.version) for opset in converted.opset_import] == [("", OPSET)]
    onnx.checker.check_model(converted)
    np.testing.assert_allclose(run(converted), run(original), atol=TOLERANCE)


def test_a_constant_of_a_computed_shape_computes_the_same() -> None:
    # torch writes this for zeros_like; onnx's converter cannot bring it from opset 20 to 19
    model = graph("Add", opset=20, constants={"none": FOUR})
    value = helper.make_tensor("value", TensorProto.FLOAT, [1], [0.5])
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["half"], value=value),
        *model.graph.node,
    ]
    nodes[2].input[1] = "half"
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    np.testing.assert_allclose(run(convert_opset(model)), X + 0.5, atol=TOLERANCE)


def test_functions_are_inlined() -> None:
    model = graph("Doubled", opset=OPSET, domain="own")
    double = helper.make_node("Add", ["a", "a"], ["b"])
    standard = helper.make_opsetid("", OPSET)
    model.functions.append(
        helper.make_function("own", "Doubled", ["a"], ["b"], [double], [standard])
    )
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.ir_version = 8
    converted = convert_opset(model)
    assert [node.op_type for node in converted.graph.node] == ["Add", "Sum"]
    np.testing.assert_allclose(run(converted), 2 * X, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (graph("Gelu", opset=17, domain="com.microsoft"), "operators com.microsoft.Gelu; allowed"),
        (
            graph("Col2Im", opset=18, constants={"shape": AXES, "block": AXES}),
            "opset 18 and cannot be converted to 17: it lacks Col2Im. Export it again",
        ),
        (
            graph(
                "Resize", opset=18, mode="linear", antialias=1,
                constants={"none": FOUR, **scales(0.5, 0.5)},
            ),
            "Resize with antialias 1",
        ),
        (
            graph("Pad", opset=19, mode="wrap", constants={"pads": np.array([0] * 8)}),
            "Pad with axes, or with mode 'wrap'. Export it again with opset 17",
        ),
        (
            graph(
                "Pad", opset=18,
                constants={"pads": np.array([0] * 4), "none": FOUR, "axes": AXES},
            ),
            "Pad with axes, or with mode 'wrap'",
        ),
    ],
    ids=["custom", "unknown", "antialias", "wrap", "axes"],
)  # fmt: skip
def test_operators_without_an_equivalent_are_refused(model: onnx.ModelProto, message: str) -> None:
    with pytest.raises(ConvertError) as caught:
        convert_opset(model)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_operators_unknown_to_onnx_are_named() -> None:
    require_standard_operators(graph("Relu", opset=OPSET), "unused message")
    with pytest.raises(ConvertError, match="left over: Erfc"):
        require_standard_operators(graph("Erfc", opset=OPSET), "left over")
