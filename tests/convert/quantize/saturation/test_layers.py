"""8-bit products without VNNI: the arithmetic, and the layers in which it can saturate."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from convert.package.measure_variant import INT8_CPU_FEATURES
from convert.quantize.saturation import integer_layers, may_saturate, saturating_layers
from runtime.engine.resources import cpu_features
from runtime.engine.session import Session
from tests.convert.support.quantized import write_int8
from tests.convert.support.u8s8 import exact, saturated

RNG = np.random.default_rng(3)


def u8(*rows: Sequence[int]) -> NDArray[np.uint8]:
    return np.array(rows, np.uint8)


def s8(*rows: Sequence[int]) -> NDArray[np.int8]:
    return np.array(rows, np.int8)


@pytest.mark.parametrize(
    ("activations", "weights", "total", "saturated_pairs"),
    [
        ((255, 255), (127, 127), 32767, 1),  # 64770
        ((255, 255), (-128, -128), -32768, 1),  # -65280
        ((255, 255), (127, -128), -255, 0),  # neighbours of other signs make room for each other
        ((255, 0), (127, 127), 32385, 0),
        ((255, 1), (127, 127), 32512, 0),
        ((255, 3), (127, 127), 32766, 0),
        ((255, 4), (127, 127), 32767, 1),  # 32893
        ((255, 255, 255, 255), (127, 127, -128, -128), -1, 2),  # 32767 - 32768; exact: -510
        ((255, 255, 255), (127, 127, 127), 32767 + 32385, 1),  # the third has no neighbour
    ],
)
def test_pairs_saturate_at_16_bits(
    activations: Sequence[int], weights: Sequence[int], total: int, saturated_pairs: int
) -> None:
    products = saturated(u8(activations), s8(weights).T)
    assert products.sums.tolist() == [[total]]
    assert products.saturated_pairs == saturated_pairs
    assert products.pairs == (len(weights) + 1) // 2
    assert may_saturate(s8(weights).T) or not saturated_pairs


def test_sums_are_exact_where_nothing_saturates() -> None:
    activations = RNG.integers(0, 256, (17, 45)).astype(np.uint8)
    seven_bits = RNG.integers(-64, 65, (45, 11)).astype(np.int8)
    products = saturated(activations, seven_bits)
    np.testing.assert_array_equal(products.sums, exact(activations, seven_bits))
    np.testing.assert_array_equal(
        products.sums, activations.astype(np.int64) @ seven_bits.astype(np.int64)
    )
    assert (products.saturated_pairs, products.pairs) == (0, 17 * 11 * 23)


def test_weights_of_7_bits_never_saturate_and_those_of_8_bits_may() -> None:
    assert not may_saturate(np.full((4, 2), 64, np.int8))
    assert not may_saturate(np.full((4, 2), -64, np.int8))
    assert may_saturate(np.full((4, 2), 65, np.int8))
    assert may_saturate(s8((0, 0, 127, 2)).T)  # 255 * 129
    assert not may_saturate(s8((0, 127, 127, 0)).T)  # of two pairs
    assert not may_saturate(s8((127, 1)).T)  # 255 * 128 fits


def test_onnxruntime_computes_as_its_cpu_does(tmp_path: Path) -> None:
    """Sums are of 32 bits with VNNI or on ARM, and of saturating pairs on other x86 CPUs."""
    activations = RNG.integers(0, 256, (9, 45)).astype(np.uint8)
    weights = RNG.integers(-127, 128, (45, 21)).astype(np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "w"], ["y"], "product")],
        "g",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, None)],
        [helper.make_tensor_value_info("y", TensorProto.INT32, None)],
        [numpy_helper.from_array(weights, "w")],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "a.onnx")
    (sums,) = Session(tmp_path / "a.onnx").run({"a": activations}).values()
    products = saturated(activations, weights)
    assert products.saturated_pairs > 50
    in_pairs = "avx2" in cpu_features() and not set(INT8_CPU_FEATURES) & cpu_features()
    expected = products.sums if in_pairs else exact(activations, weights)
    np.testing.assert_array_equal(sums, expected)


def test_all_layers_of_a_quantized_net_may_saturate(tmp_path: Path) -> None:
    path = write_int8(tmp_path / "int8.onnx", reduce_range=False)
    layers = list(integer_layers(onnx.load(path)))
    assert [layer.weights.shape for layer in layers] == [(1, 36, 32), (1, 288, 32), (1, 32, 4)]
    assert saturating_layers(path) == [layer.name for layer in layers]


def test_no_layer_with_reduced_ranges_may_saturate(tmp_path: Path) -> None:
    path = write_int8(tmp_path / "int8-7bit.onnx", reduce_range=True)
    layers = list(integer_layers(onnx.load(path)))
    assert len(layers) == 3
    largest = [abs(layer.weights.astype(int)).max() for layer in layers]
    assert min(largest) > 64  # more than 7 bits where neighbours leave room
    assert saturating_layers(path) == []


def product_graph(node: onnx.NodeProto, constants: Mapping[str, Any]) -> onnx.ModelProto:
    """Return a graph of one product of `q`, uint8, and weights `w`."""
    graph = helper.make_graph(
        [
            helper.make_node("DequantizeLinear", ["q", "step", "zero"], ["x"]),
            helper.make_node("DequantizeLinear", ["w", "step"], ["m"]),
            node,
        ],
        "g",
        [helper.make_tensor_value_info("q", TensorProto.UINT8, None)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(np.asarray(array), name)
            for name, array in {"step": np.float32(1), "zero": np.uint8(7), **constants}.items()
        ],
    )
    return helper.make_model(graph)


def test_channels_are_the_neighbours_in_a_convolution() -> None:
    weights = np.arange(2 * 2 * 3 * 3, dtype=np.int8).reshape(2, 2, 3, 3)
    node = helper.make_node("Conv", ["x", "m"], ["y"], "conv", pads=[1, 1, 1, 1])
    (layer,) = integer_layers(product_graph(node, {"w": weights}))
    assert layer.name == "conv"
    assert layer.weights.shape == (1, 18, 2)
    assert layer.weights[0, :4, 0].tolist() == [0, 9, 1, 10]
    np.testing.assert_array_equal(layer.weights[0, :2, 1], weights[1, :, 0, 0])


def test_groups_are_separate_and_depthwise_convolutions_are_left_out() -> None:
    four = np.arange(4 * 2, dtype=np.int8).reshape(4, 2, 1, 1)
    grouped = helper.make_node("Conv", ["x", "m"], ["y"], "conv", group=2)
    (layer,) = integer_layers(product_graph(grouped, {"w": four}))
    assert layer.weights.tolist() == [[[0, 2], [1, 3]], [[4, 6], [5, 7]]]
    depthwise = helper.make_node("Conv", ["x", "m"], ["y"], "conv", group=4)
    weights = np.full((4, 1, 3, 3), 127, np.int8)
    assert list(integer_layers(product_graph(depthwise, {"w": weights}))) == []


def test_matrices_are_paired_by_input_transposed_or_not() -> None:
    matrix = np.arange(6, dtype=np.int8).reshape(3, 2)
    product = helper.make_node("MatMul", ["x", "m"], ["y"], "product")
    gemm = helper.make_node("Gemm", ["x", "m"], ["y"], "gemm", transB=1)
    for node, weights in ((product, matrix), (gemm, matrix.T.copy())):
        (layer,) = integer_layers(product_graph(node, {"w": weights}))
        np.testing.assert_array_equal(layer.weights, matrix[np.newaxis])


def test_products_with_float_or_variable_factors_are_no_integer_layers() -> None:
    weights = np.arange(6, dtype=np.int8).reshape(3, 2)
    for inputs in (["float", "m"], ["x", "x"], ["x", "w"]):
        node = helper.make_node("MatMul", inputs, ["y"], "product")
        assert list(integer_layers(product_graph(node, {"w": weights}))) == []
