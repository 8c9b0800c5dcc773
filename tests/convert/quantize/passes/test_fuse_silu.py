"""SiLU: which nodes become one operator, and the floor of its input's range."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from convert.quantize.passes.fuse_silu import SILU_FLOOR, clip_silu_ranges, fuse_silu, silu_nodes
from convert.quantize.quantizer import QuantizationConfig, Quantizer, all_op_types
from runtime.engine.session import Session, SessionOptions
from tests.convert.support import nets
from tests.convert.support.parity import write_float_graph


def silu(
    factors: tuple[str, str] = ("x", "s"), outputs: tuple[str, ...] = ("y",)
) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["s"], "sigmoid"),
        helper.make_node("Mul", list(factors), ["y"], "mul"),
    ]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"]) for name in outputs]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N"])]
    graph = helper.make_graph(nodes, "g", inputs, infos)
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10)


def op_types(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


@pytest.mark.parametrize("factors", [("x", "s"), ("s", "x")])
def test_silu_becomes_one_operator_of_the_same_values(
    factors: tuple[str, str], tmp_path: Path
) -> None:
    onnx.save(fuse_silu(silu(factors)), tmp_path / "fused.onnx")
    assert op_types(onnx.load(tmp_path / "fused.onnx")) == {"QuickGelu": 1}
    x = np.linspace(-90, 90, 1001, dtype=np.float32)
    y = np.asarray(Session(tmp_path / "fused.onnx").run({"x": x})["y"], np.float32)
    # onnxruntime's own sigmoid is a quotient of polynomials
    np.testing.assert_allclose(y, x / (1 + np.exp(-x.astype(np.float64))), atol=1e-5)


@pytest.mark.parametrize(
    "model", [silu(("s", "s")), silu(outputs=("y", "s")), silu(outputs=("y", "x"))]
)
def test_other_products_and_tensors_read_elsewhere_stay(model: onnx.ModelProto) -> None:
    assert silu_nodes(model) == frozenset()
    assert op_types(fuse_silu(model)) == {"Sigmoid": 1, "Mul": 1}


def test_silu_of_a_quantized_network_is_float_between_integer_layers(tmp_path: Path) -> None:
    from torch import nn

    net = nets.convolutions(layers=3)
    for index, module in enumerate(net):
        if isinstance(module, nn.ReLU):
            net[index] = nn.SiLU()
    model = write_float_graph(nets.loaded(net), tmp_path / "float.onnx")
    quantizer = Quantizer(model, nets.sample_sets().calibration)
    path, optimized = tmp_path / "int8.onnx", tmp_path / "optimized.onnx"
    onnx.save(quantizer.quantize(QuantizationConfig(all_op_types())), path)
    Session(path, SessionOptions(optimized_path=optimized))
    counts = op_types(onnx.load(optimized))
    assert counts["QLinearConv"] == 3
    assert counts["QuickGelu"] == 3
    assert counts["QLinearSigmoid"] == counts["QLinearMul"] == 0
    # the search has no use for nodes that are always in float
    names = {name for group in quantizer.layer_groups for name in group.nodes}
    assert names.isdisjoint(silu_nodes(model))


def test_the_range_of_silus_input_begins_at_the_floor() -> None:
    ranges = {"x": (-100.0, 50.0), "y": (-100.0, 50.0)}
    assert clip_silu_ranges(silu(), ranges) == {**ranges, "x": (SILU_FLOOR, 50.0)}
    assert clip_silu_ranges(silu(), {"x": (-3.0, 50.0)}) == {"x": (-3.0, 50.0)}
    for other in (silu(("s", "s")), silu(outputs=("y", "x"))):
        assert clip_silu_ranges(other, ranges) == ranges
