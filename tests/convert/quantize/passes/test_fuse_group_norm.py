"""Group normalization: where each channel is a group, one operator answers the same."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from convert.quantize.passes.fuse_group_norm import fuse_group_norm
from runtime.engine.session import Session

CHANNELS, KERNEL = 6, 3


def norm_net(
    *,
    groups: int = CHANNELS,
    factors: tuple[int, ...] = (CHANNELS, 1),
    outputs: tuple[str, ...] = ("y",),
    source: str = "Conv",
) -> onnx.ModelProto:
    """Return a convolution and the nodes that torch's exporter writes for GroupNorm behind it."""
    random = np.random.default_rng(0)
    constants = {
        "weights": random.normal(size=(CHANNELS, 1, KERNEL)),
        "ones": np.ones(groups),
        "zeros": np.zeros(groups),
        "gamma": random.normal(size=factors),
        "beta": random.normal(size=(CHANNELS, 1)),
    }
    layer = helper.make_node("Conv", ["x", "weights"], ["answer"], "layer")
    if source != "Conv":
        layer = helper.make_node(source, ["x"], ["answer"], "layer")
    nodes = [
        layer,
        helper.make_node("Reshape", ["answer", "grouped"], ["groups"], "group"),
        helper.make_node(
            "InstanceNormalization", ["groups", "ones", "zeros"], ["normed"], "norm", epsilon=1e-2
        ),
        helper.make_node("Shape", ["answer"], ["shape"], "shape"),
        helper.make_node("Reshape", ["normed", "shape"], ["back"], "ungroup"),
        helper.make_node("Mul", ["back", "gamma"], ["scaled"], "scale"),
        helper.make_node("Add", ["scaled", "beta"], ["y"], "shift"),
    ]
    tensors = [numpy_helper.from_array(a.astype(np.float32), key) for key, a in constants.items()]
    tensors.append(numpy_helper.from_array(np.array([0, groups, -1], np.int64), "grouped"))
    channels = 1 if source == "Conv" else CHANNELS
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", channels, "L"])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        tensors,
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10)


def op_types(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def run(model: onnx.ModelProto, path: Path, x: np.ndarray) -> np.ndarray:
    onnx.save(model, path)
    return Session(path).run({"x": x})["y"].astype(np.float32)


@pytest.mark.parametrize("factors", [(CHANNELS, 1), (1, CHANNELS, 1)])
def test_a_group_for_each_channel_becomes_one_operator(
    tmp_path: Path, factors: tuple[int, ...]
) -> None:
    model = norm_net(factors=factors)
    before = model.SerializeToString()
    fused = fuse_group_norm(model)
    assert model.SerializeToString() == before  # it is a copy
    assert op_types(fused) == {"Conv": 1, "InstanceNormalization": 1}
    x = np.random.default_rng(1).normal(size=(2, 1, 50)).astype(np.float32)
    expected, answer = (run(m, tmp_path / "net.onnx", x) for m in (model, fused))
    np.testing.assert_allclose(answer, expected, atol=2e-6)


@pytest.mark.parametrize(
    "model",
    [
        norm_net(groups=2),  # a group has several channels
        norm_net(factors=(1, 1)),  # one factor for all: nothing tells that it is a group norm
        norm_net(source="Relu"),  # the number of channels is not known
        norm_net(outputs=("y", "normed")),
        norm_net(outputs=("y", "scaled")),
        norm_net(outputs=("y", "groups")),
        norm_net(outputs=("y", "shape")),
    ],
)
def test_other_norms_stay(model: onnx.ModelProto) -> None:
    assert fuse_group_norm(model) == model
