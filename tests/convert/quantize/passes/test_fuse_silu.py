"""x * sigmoid(x) as one operator in float: where it is one, and where it must not become one."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from convert.quantize.passes.fuse_silu import fuse_gates, gate_nodes
from convert.quantize.quantizer import Quantizer, Setting, all_op_types
from runtime.engine.session import Session, SessionOptions
from tests.convert.support import nets
from tests.convert.support.parity import write_float_graph


def gate(
    factors: tuple[str, str] = ("x", "s"), outputs: tuple[str, ...] = ("y",)
) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["s"], "sigmoid"),
        helper.make_node("Mul", list(factors), ["y"], "mul"),
    ]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"]) for name in outputs]
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N"])]
    graph = helper.make_graph(nodes, "g", given, infos)
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10)


def kinds(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


@pytest.mark.parametrize("factors", [("x", "s"), ("s", "x")])
def test_a_gate_becomes_one_operator_and_answers_alike(
    factors: tuple[str, str], tmp_path: Path
) -> None:
    onnx.save(fuse_gates(gate(factors)), tmp_path / "fused.onnx")
    assert kinds(onnx.load(tmp_path / "fused.onnx")) == {"QuickGelu": 1}
    x = np.linspace(-90, 90, 1001, dtype=np.float32)
    found = np.asarray(Session(tmp_path / "fused.onnx").run({"x": x})["y"], np.float32)
    # onnxruntime's own sigmoid is a quotient of polynomials
    np.testing.assert_allclose(found, x / (1 + np.exp(-x.astype(np.float64))), atol=1e-5)


@pytest.mark.parametrize(
    "model", [gate(("s", "s")), gate(outputs=("y", "s")), gate(outputs=("y", "x"))]
)
def test_what_is_no_gate_or_is_read_elsewhere_stays(model: onnx.ModelProto) -> None:
    assert gate_nodes(model) == frozenset()
    assert kinds(fuse_gates(model)) == {"Sigmoid": 1, "Mul": 1}


def test_gates_of_a_quantized_network_are_float_between_integer_layers(tmp_path: Path) -> None:
    from torch import nn

    net = nets.convolutions(layers=3)
    for index, module in enumerate(net):
        if isinstance(module, nn.ReLU):
            net[index] = nn.SiLU()
    model = write_float_graph(nets.loaded(net), tmp_path / "float.onnx")
    quantizer = Quantizer(model, nets.media().calibration)
    path, optimized = tmp_path / "int8.onnx", tmp_path / "optimized.onnx"
    onnx.save(quantizer.quantize(Setting(all_op_types())), path)
    Session(path, SessionOptions(optimized_path=optimized))
    found = kinds(onnx.load(optimized))
    assert found["QLinearConv"] == 3
    assert found["QuickGelu"] == 3
    assert found["QLinearSigmoid"] == found["QLinearMul"] == 0
    # nothing to leave in float, or give back, that always is
    assert not any(name in gate_nodes(model) for unit in quantizer.units for name in unit.nodes)
