"""The float16 form: which nodes stay in float32, and values that float16 would round or lose."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from convert.package.half_precision import write_float16
from runtime.engine.session import Session, SessionOptions
from tests.convert.support import nets
from tests.convert.support.parity import write_float_graph

ONE_THREAD = SessionOptions(threads=1)


def types(model: onnx.ModelProto) -> dict[str, int]:
    """Return the element type of every tensor, by name."""
    inferred = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    values = (*inferred.value_info, *inferred.input, *inferred.output)
    return {value.name: value.type.tensor_type.elem_type for value in values}


def write_graph(path: Path, *nodes: onnx.NodeProto, **constants: list[float]) -> Path:
    """Write a graph from x (N, 4) to y, both float32."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", "K"])],
        [numpy_helper.from_array(np.array(v, np.float32), n) for n, v in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def run(path: Path, x: list[float]) -> np.ndarray:
    return Session(path, ONE_THREAD).run({"x": np.array([x], np.float32)})["y"]


def test_the_network_is_in_float16_and_the_numerics_and_ends_are_not(tmp_path: Path) -> None:
    source, target = tmp_path / "float.onnx", tmp_path / "fp16.onnx"
    write_float_graph(nets.loaded(nets.convolutions(layers=2)), source)
    write_float16(source, target)
    model = onnx.load(target)
    types_by_name = types(model)
    weights = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    numerics = 0
    for node in model.graph.node:
        element = types_by_name[node.output[0]]
        if node.op_type == "Conv":
            assert element == weights[node.input[1]] == TensorProto.FLOAT16
        if node.name.startswith("numerics/") and node.op_type != "Cast":
            numerics += 1
            assert element == TensorProto.FLOAT, node.name
    assert numerics > 3
    assert [node.op_type for node in model.graph.node].count("Cast") == 3  # bytes, in and out
    before = onnx.load(source).graph
    assert list(model.graph.input) == list(before.input)
    assert list(model.graph.output) == list(before.output)
    assert target.stat().st_size < 0.6 * source.stat().st_size
    plain, half = Session(source, ONE_THREAD), Session(target, ONE_THREAD)
    for feeds in nets.sample_sets().test:
        for name, expected in plain.run(feeds).items():
            actual = half.run(feeds)[name]
            assert actual.dtype == expected.dtype
            difference = np.abs(actual.astype(np.float64) - expected.astype(np.float64)).max()
            assert 0 < difference < 0.02  # it did compute in float16


def test_between_nodes_of_float32_nothing_is_rounded(tmp_path: Path) -> None:
    nodes = (
        helper.make_node("Add", ["x", "left"], ["moved"], "numerics/add"),
        helper.make_node("Mul", ["moved", "scale"], ["scaled"], "numerics/mul"),
        helper.make_node("Sub", ["scaled", "moved"], ["y"], "numerics/sub"),
    )
    path = write_graph(tmp_path / "a.onnx", *nodes, left=[300.1], scale=[1.003])
    write_float16(path, tmp_path / "b.onnx")
    ops = [node.op_type for node in onnx.load(tmp_path / "b.onnx").graph.node]
    assert "Cast" not in ops
    x = [0.03, 1.01, 511.77, 4000.3]
    np.testing.assert_array_equal(run(path, x), run(tmp_path / "b.onnx", x))


def test_a_mean_of_squares_beyond_float16_stays_finite(tmp_path: Path) -> None:
    nodes = (
        helper.make_node("Mul", ["x", "half"], ["small"], "net/mul"),
        helper.make_node("ReduceL2", ["small"], ["norm"], "net/norm", axes=[1], keepdims=1),
        helper.make_node("Mul", ["norm", "half"], ["y"], "net/end"),
    )
    path = write_graph(tmp_path / "a.onnx", *nodes, half=[0.5])
    write_float16(path, tmp_path / "b.onnx")
    x = [600.0, 800.0, -700.0, 900.0]  # the squares of the halves are up to 202,500
    np.testing.assert_allclose(run(tmp_path / "b.onnx", x), run(path, x), rtol=2e-3)
    model = onnx.load(tmp_path / "b.onnx")
    types_by_name = types(model)
    results = {node.op_type: types_by_name[node.output[0]] for node in model.graph.node}
    assert results["Mul"] == TensorProto.FLOAT16
    assert results["ReduceL2"] == TensorProto.FLOAT  # a CPU computes either in float32


def test_a_tensor_that_several_nodes_of_float32_read_is_cast_once(tmp_path: Path) -> None:
    nodes = (
        helper.make_node("Mul", ["x", "half"], ["small"], "net/mul"),
        helper.make_node("Softmax", ["small"], ["first"], "net/softmax", axis=1),
        helper.make_node("Exp", ["small"], ["second"], "net/exp"),
        helper.make_node("Add", ["first", "second"], ["y"], "numerics/add"),
    )
    path = write_graph(tmp_path / "a.onnx", *nodes, half=[0.5])
    write_float16(path, tmp_path / "b.onnx")
    x = [0.1, 0.2, 0.3, 0.4]
    np.testing.assert_allclose(run(tmp_path / "b.onnx", x), run(path, x), rtol=2e-3)
    ops = [node.op_type for node in onnx.load(tmp_path / "b.onnx").graph.node]
    assert ops.count("Cast") == 2  # x, and the product
