"""GELU fusion: which graphs contain a GELU, and which only look like it."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from convert.quantize.passes.fuse_gelu import fuse_gelu
from runtime.engine.session import Session

CONSTANTS = {"root": np.sqrt(2), "one": 1.0, "half": 0.5}


def written_out(
    constants: Mapping[str, float] = CONSTANTS,
    *,
    swapped: bool = False,
    outputs: tuple[str, ...] = ("y",),
) -> onnx.ModelProto:
    """Return x / root, erf, + one, * x and * half, as torch's exporter writes GELU."""
    product = ["added", "x"] if swapped else ["x", "added"]
    nodes = [
        helper.make_node("Div", ["x", "root"], ["divided"], "divide"),
        helper.make_node("Erf", ["divided"], ["erf"], "erf"),
        helper.make_node("Add", ["erf", "one"], ["added"], "add"),
        helper.make_node("Mul", product, ["product"], "multiply"),
        helper.make_node("Mul", ["product", "half"], ["y"], "halve"),
    ]
    values = {**CONSTANTS, **constants}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N"])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"]) for name in outputs],
        [numpy_helper.from_array(np.array(value, np.float32), k) for k, value in values.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10)


def op_types(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def run(model: onnx.ModelProto, path: Path) -> np.ndarray:
    onnx.save(model, path)
    x = np.linspace(-6, 6, 1001, dtype=np.float32)
    return Session(path).run({"x": x})["y"].astype(np.float32)


@pytest.mark.parametrize("swapped", [False, True])
def test_gelu_becomes_one_operator_of_the_same_values(tmp_path: Path, *, swapped: bool) -> None:
    expected = run(written_out(swapped=swapped), tmp_path / "plain.onnx")

    fused = fuse_gelu(written_out(swapped=swapped))

    assert op_types(fused) == {"Gelu": 1}
    assert not fused.graph.initializer
    np.testing.assert_allclose(run(fused, tmp_path / "fused.onnx"), expected, atol=2e-6)


@pytest.mark.parametrize("constants", [{"root": 1.0}, {"one": 0.5}, {"half": 1.0}])
def test_other_constants_are_no_gelu(constants: dict[str, float]) -> None:
    assert "Gelu" not in op_types(fuse_gelu(written_out(constants)))


@pytest.mark.parametrize("name", ["divided", "erf", "added", "product"])
def test_nodes_whose_outputs_are_read_elsewhere_stay(name: str) -> None:
    assert "Gelu" not in op_types(fuse_gelu(written_out(outputs=("y", name))))


def test_another_factor_is_no_gelu() -> None:
    model = written_out()
    model.graph.node[3].input[0] = "root"

    assert "Gelu" not in op_types(fuse_gelu(model))
