"""Groups of a layer and the activations after it, and their shares of work and weights."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from convert.export.numerics import PREFIX
from convert.quantize.search.layer_groups import (
    LayerGroup,
    layer_groups,
    nodes_after_last_layer,
    small_head,
    small_tail,
)
from tests.convert.support import nets
from tests.convert.support.parity import write_float_graph


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    path = tmp_path_factory.mktemp("graph") / "exported.onnx"
    return write_float_graph(nets.loaded(nets.convolutions(layers=3)), path)


def groups_of(model: onnx.ModelProto) -> tuple[LayerGroup, ...]:
    return layer_groups(model, nets.sample_sets().calibration[0])


def test_groups_are_layers_with_the_activations_after_them(model: onnx.ModelProto) -> None:
    groups = groups_of(model)
    op_types = [[name.rpartition("_")[2] for name in group.nodes] for group in groups]
    assert [group[0] for group in op_types] == ["Conv", "Conv", "Conv", "Gemm"]
    assert op_types[0][1] == "Relu"
    names = [name for group in groups for name in group.nodes]
    assert len(names) == len(set(names))
    assert not any(name.startswith(PREFIX) for name in names)


def test_work_is_the_share_of_multiplications(model: onnx.ModelProto) -> None:
    shares = [group.work for group in groups_of(model)]
    # per position: 27 x 32, then twice 288 x 32; the linear layer is less than a thousandth
    total = 27 + 288 + 288
    np.testing.assert_allclose(shares[:3], [27 / total, 288 / total, 288 / total], rtol=1e-3)
    assert sum(shares) == pytest.approx(1)


def test_the_small_tail_is_what_follows_the_last_large_layer(model: onnx.ModelProto) -> None:
    feeds = nets.sample_sets().calibration[0]
    groups = groups_of(model)
    assert small_tail(groups, model, feeds) == frozenset(groups[-1].nodes)
    # a small layer before a large one is none of it
    early = (replace(groups[0], work=0.0), *groups[1:])
    assert small_tail(early, model, feeds) == frozenset(groups[-1].nodes)
    assert small_tail((*groups[:3], replace(groups[3], work=0.1)), model, feeds) == frozenset()
    # the third convolution writes a quarter of all values: too many for float
    large_values = (*groups[:2], replace(groups[2], work=0.0), groups[3])
    assert small_tail(large_values, model, feeds) == frozenset()


def test_the_small_head_is_what_precedes_the_first_large_layer(model: onnx.ModelProto) -> None:
    groups = groups_of(model)
    assert small_head(groups) == frozenset()
    first = replace(groups[0], work=0.001)
    assert small_head((first, *groups[1:])) == frozenset(groups[0].nodes)
    assert small_head(tuple(replace(group, work=0.0) for group in groups)) == frozenset()


def test_size_is_the_share_of_weights(model: onnx.ModelProto) -> None:
    sizes = [group.size for group in groups_of(model)]
    weights = np.array([27 * 32, 288 * 32, 288 * 32, 32 * nets.CLASSES])
    np.testing.assert_allclose(sizes, weights / weights.sum())


def test_a_transposed_convolution_multiplies_by_the_weights_of_its_output_channel() -> None:
    shapes = {"up": (4, 8, 2, 2), "conv": (6, 8, 1, 1)}  # 4 to 8 channels, then 8 to 6
    nodes = [
        helper.make_node("ConvTranspose", ["x", "up"], ["y"], "layer 0", strides=[2, 2]),
        helper.make_node("Conv", ["y", "conv"], ["z"], "layer 1"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 5, 5])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 6, 10, 10])],
        [numpy_helper.from_array(np.ones(shape, np.float32), n) for n, shape in shapes.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    groups = layer_groups(
        helper.make_model(graph, opset_imports=opset, ir_version=10),
        {"x": np.zeros((1, 4, 5, 5), np.float32)},
    )
    up, conv = 8 * 100 * (4 * 2 * 2), 6 * 100 * 8
    assert [group.work for group in groups] == pytest.approx([up / (up + conv), conv / (up + conv)])


def test_nodes_after_the_last_layer_do_not_lead_to_one(model: onnx.ModelProto) -> None:
    names = set(nodes_after_last_layer(model))
    op_types = {node.op_type for node in model.graph.node if node.name in names}
    assert "Softmax" in op_types
    assert op_types.isdisjoint({"Conv", "Relu", "Gemm", "GlobalAveragePool"})
