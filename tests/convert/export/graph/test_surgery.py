from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from convert.errors import ConvertError
from convert.export.graph.opset import OPSET
from convert.export.graph.surgery import (
    IR_VERSION,
    canonicalize,
    free_batch,
    initializers,
    prune,
    scale_resizes,
    simplify,
)

WEIGHT = np.arange(3 * 3, dtype=np.float32).reshape(3, 3, 1, 1)


def value(name: str, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def model(
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    *,
    inputs: Sequence[onnx.ValueInfoProto] = (),
    outputs: Sequence[str] = ("y",),
    opset: int = OPSET,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "g",
        list(inputs) or [value("x", [1, 3, 4, 4])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def run(graph: onnx.ModelProto, x: np.ndarray) -> list[np.ndarray]:
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs: list[np.ndarray] = session.run(None, {graph.graph.input[0].name: x})
    return outputs


def picture(count: int = 1) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, 3, 4, 4)).astype(np.float32)


def shared_stem(names: dict[str, str], *, swap: bool = False) -> onnx.ModelProto:
    """Return Relu(conv) + Sigmoid(conv) with the names and node order of some exporter."""

    def n(key: str) -> str:
        return names.get(key, key)

    branches = [
        helper.make_node("Relu", [n("c")], [n("r")], n("relu")),
        helper.make_node("Sigmoid", [n("c")], [n("s")], n("sigmoid")),
    ]
    nodes = [
        helper.make_node("Conv", ["x", n("w")], [n("c")], n("conv"), kernel_shape=[1, 1]),
        *(reversed(branches) if swap else branches),
        helper.make_node("Add", [n("r"), n("s")], ["y"], n("add")),
    ]
    return model(nodes, {n("w"): WEIGHT})


def test_prune_keeps_only_the_nodes_and_weights_of_one_output() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Conv", ["x", "unused"], ["b"]),
        helper.make_node("Relu", ["a"], ["y"]),
    ]
    inputs = [value("x", [1, 3, 4, 4]), value("w", WEIGHT.shape), value("unused", WEIGHT.shape)]
    constants = {"w": WEIGHT, "unused": WEIGHT}
    pruned = prune(model(nodes, constants, inputs=inputs, outputs=("b", "y")), ["y"])
    assert [node.op_type for node in pruned.graph.node] == ["Conv", "Relu"]
    assert [entry.name for entry in pruned.graph.output] == ["y"]
    # an initializer listed as an input could be overwritten by a caller, and is never folded
    assert [entry.name for entry in pruned.graph.input] == ["x"]
    assert list(initializers(pruned)) == ["w"]


def test_free_batch_takes_any_number_of_rows() -> None:
    static = model([helper.make_node("Conv", ["x", "w"], ["y"])], {"w": WEIGHT})
    static.graph.output[0].CopyFrom(value("y", [1, 3, 4, 4]))
    freed = free_batch(static)
    assert freed.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    batch, alone = run(freed, picture(3))[0], run(static, picture(3)[1:2])[0]
    np.testing.assert_allclose(batch[1:2], alone, atol=1e-6)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_resize_to_constant_sizes_takes_any_batch(mode: str) -> None:
    node = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], mode=mode)
    static = model([node], {"sizes": np.array([1, 3, 7, 9], np.int64)})
    static.graph.output[0].CopyFrom(value("y", [1, 3, 7, 9]))
    scaled = scale_resizes(free_batch(scale_resizes(static)))
    resize = next(node for node in scaled.graph.node if node.op_type == "Resize")
    assert len(resize.input) == 3  # scales, no sizes
    batch = run(scaled, picture(3))[0]
    assert batch.shape == (3, 3, 7, 9)
    np.testing.assert_allclose(batch[2:], run(static, picture(3)[2:])[0], atol=1e-6)


def test_simplify_folds_batch_normalisation() -> None:
    ones = np.full(3, 2, np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("BatchNormalization", ["c", "k", "k", "k", "k"], ["y"]),
    ]
    original = model(nodes, {"w": WEIGHT, "k": ones})
    simple = simplify(original)
    assert [node.op_type for node in simple.graph.node] == ["Conv"]
    assert [entry.domain for entry in simple.opset_import] == [""]
    np.testing.assert_allclose(
        run(simple, picture())[0], run(original, picture())[0], rtol=1e-5, atol=1e-5
    )


def test_simplify_refuses_a_graph_that_onnxruntime_does_not_load() -> None:
    with pytest.raises(ConvertError, match="onnxruntime refuses the exported graph"):
        simplify(model([helper.make_node("Conv", ["x", "missing"], ["y"])], {}))


def test_canonical_bytes_do_not_depend_on_the_exporters_names_and_order() -> None:
    first = canonicalize(shared_stem({}), prefix="net/")
    renamed = {key: f"exporter_{key}_17" for key in ("c", "r", "s", "w", "conv", "relu", "add")}
    other = shared_stem(renamed, swap=True)
    other.producer_name, other.doc_string = "someone", "/home/someone/export.py"
    other.graph.node[0].doc_string = "line 12"
    tensor = other.graph.initializer[0]
    tensor.CopyFrom(
        helper.make_tensor(tensor.name, TensorProto.FLOAT, WEIGHT.shape, WEIGHT.ravel())
    )
    second = canonicalize(other, prefix="net/")
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(
        deterministic=True
    )
    assert [node.name for node in first.graph.node] == [
        "net/000_Conv",
        "net/001_Relu",
        "net/002_Sigmoid",
        "net/003_Add",
    ]
    assert first.ir_version == IR_VERSION


def test_canonical_graph_computes_the_same() -> None:
    original = shared_stem({})
    output = run(canonicalize(original), picture())[0]
    np.testing.assert_array_equal(output, run(original, picture())[0])


def test_canonical_names_keep_a_weight_that_two_layers_share() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Conv", ["a", "w"], ["y"]),
    ]
    clean = canonicalize(model(nodes, {"w": WEIGHT}))
    assert len(clean.graph.initializer) == 1
    original = run(model(nodes, {"w": WEIGHT}), picture())[0]
    np.testing.assert_array_equal(run(clean, picture())[0], original)
