"""Sums of products as a matrix product: the same values, and only along the last axis."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from convert.quantize.passes.sum_of_products import sum_of_products
from runtime.engine.session import Session

SHAPE = (2, 3, 4)
SHAPES = {"x": SHAPE, "product": SHAPE}


def expectation(
    factors: tuple[str, str] = ("x", "bins"), *, axis: int = 2, keepdims: int = 0, size: int = 4
) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Mul", list(factors), ["product"], "mul"),
        helper.make_node("ReduceSum", ["product", "axes"], ["y"], "sum", keepdims=keepdims),
    ]
    tensors = [
        numpy_helper.from_array(np.arange(1, size + 1, dtype=np.float32), "bins"),
        numpy_helper.from_array(np.array([axis]), "axes"),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


@pytest.mark.parametrize(
    ("factors", "axis"), [(("x", "bins"), 2), (("bins", "x"), 2), (("x", "bins"), -1)]
)
def test_an_expectation_becomes_one_product(
    factors: tuple[str, str], axis: int, tmp_path: Path
) -> None:
    model = sum_of_products(expectation(factors, axis=axis), SHAPES)
    assert Counter(node.op_type for node in model.graph.node) == {"MatMul": 1, "Squeeze": 1}
    onnx.save(model, tmp_path / "product.onnx")
    x = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    y = np.asarray(Session(tmp_path / "product.onnx").run({"x": x})["y"], np.float32)
    np.testing.assert_allclose(y, (x * np.arange(1, 5)).sum(axis=2), rtol=1e-5)


@pytest.mark.parametrize(
    "model",
    [expectation(axis=1), expectation(keepdims=1), expectation(size=1), expectation(("x", "x"))],
)
def test_other_sums_stay(model: onnx.ModelProto) -> None:
    sum_of_products(model, SHAPES)
    assert [node.op_type for node in model.graph.node] == ["Mul", "ReduceSum"]


def test_tensors_of_unknown_shape_stay() -> None:
    model = sum_of_products(expectation(), {})
    assert [node.op_type for node in model.graph.node] == ["Mul", "ReduceSum"]
