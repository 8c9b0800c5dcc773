"""8-bit products without VNNI, and what is packaged for CPUs that have none."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from convert.describe import (
    EXACT_CPU_FEATURES,
    INT8_CPU_FEATURES,
    SEVEN_BIT_CPU_FEATURES,
    VariantName,
    cpu_features,
)
from convert.errors import VerificationError
from convert.ladder import Choice
from convert.quantize import Quantizer, Setting, all_op_types
from convert.saturation import exact, integer_layers, may_saturate, saturated, saturating_layers
from convert.variants import write_variants
from runtime.manifest import File, Variant
from tests.convert import nets
from tests.convert.parity import write_float_graph

RNG = np.random.default_rng(3)


def u8(*rows: Sequence[int]) -> np.ndarray:
    return np.array(rows, np.uint8)


def s8(*rows: Sequence[int]) -> np.ndarray:
    return np.array(rows, np.int8)


@pytest.mark.parametrize(
    ("activations", "weights", "sums", "lost"),
    [
        ((255, 255), (127, 127), 32767, 1),  # 64770
        ((255, 255), (-128, -128), -32768, 1),  # -65280
        ((255, 255), (127, -128), -255, 0),  # neighbours of other signs make room for each other
        ((255, 0), (127, 127), 32385, 0),
        ((255, 1), (127, 127), 32512, 0),
        ((255, 3), (127, 127), 32766, 0),
        ((255, 4), (127, 127), 32767, 1),  # 32893
        ((255, 255, 255, 255), (127, 127, -128, -128), -1, 2),  # 32767 - 32768; rightly -510
        ((255, 255, 255), (127, 127, 127), 32767 + 32385, 1),  # the third is alone
    ],
)
def test_pairs_saturate_at_16_bits(
    activations: Sequence[int], weights: Sequence[int], sums: int, lost: int
) -> None:
    found = saturated(u8(activations), s8(weights).T)
    assert found.sums.tolist() == [[sums]]
    assert (found.saturated_pairs, found.pairs) == (lost, (len(weights) + 1) // 2)
    assert may_saturate(s8(weights).T) or not lost


def test_it_is_exact_arithmetic_where_nothing_saturates() -> None:
    activations = RNG.integers(0, 256, (17, 45)).astype(np.uint8)
    seven_bits = RNG.integers(-64, 65, (45, 11)).astype(np.int8)
    found = saturated(activations, seven_bits)
    np.testing.assert_array_equal(found.sums, exact(activations, seven_bits))
    np.testing.assert_array_equal(
        found.sums, activations.astype(np.int64) @ seven_bits.astype(np.int64)
    )
    assert (found.saturated_pairs, found.pairs) == (0, 17 * 11 * 23)


def test_weights_of_7_bits_never_saturate_and_those_of_8_bits_may() -> None:
    assert not may_saturate(np.full((4, 2), 64, np.int8))
    assert not may_saturate(np.full((4, 2), -64, np.int8))
    assert may_saturate(np.full((4, 2), 65, np.int8))
    assert may_saturate(s8((0, 0, 127, 2)).T)  # 255 * 129
    assert not may_saturate(s8((0, 127, 127, 0)).T)  # of two pairs
    assert not may_saturate(s8((127, 1)).T)  # 255 * 128 fits


def quantized(path: Path, *, reduce_range: bool) -> Path:
    write_float_graph(nets.loaded(nets.convolutions(layers=2)), path)
    quantizer = Quantizer(onnx.load(path), nets.media().calibration)
    onnx.save(quantizer.quantize(Setting(all_op_types(), reduce_range=reduce_range)), path)
    return path


def test_layers_of_a_quantized_net(tmp_path: Path) -> None:
    path = quantized(tmp_path / "int8.onnx", reduce_range=False)
    layers = list(integer_layers(onnx.load(path)))
    assert [layer.op_type for layer in layers] == ["Conv", "Conv", "Gemm"]
    assert [layer.weights.shape for layer in layers] == [(1, 27, 32), (1, 288, 32), (1, 32, 4)]
    assert saturating_layers(path) == [layer.name for layer in layers]
    assert cpu_features("int8", path) == INT8_CPU_FEATURES


def test_reduced_range_leaves_no_layer_that_may_saturate(tmp_path: Path) -> None:
    path = quantized(tmp_path / "int8-7bit.onnx", reduce_range=True)
    layers = list(integer_layers(onnx.load(path)))
    assert len(layers) == 3
    assert max(abs(layer.weights.astype(int)).max() for layer in layers) == 64
    assert saturating_layers(path) == []
    assert cpu_features("int8-7bit", path) == SEVEN_BIT_CPU_FEATURES
    assert cpu_features("int8", path) == EXACT_CPU_FEATURES
    assert cpu_features("float", path) == ()


def graph(node: onnx.NodeProto, constants: Mapping[str, Any]) -> onnx.ModelProto:
    """One product of `q`, uint8, and of weights `w`."""
    made = helper.make_graph(
        [
            helper.make_node("DequantizeLinear", ["q", "step", "zero"], ["x"]),
            helper.make_node("DequantizeLinear", ["w", "step"], ["m"]),
            node,
        ],
        "g",
        [helper.make_tensor_value_info("q", TensorProto.UINT8, None)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    return helper.make_model(made)


def test_channels_are_the_neighbours_in_a_convolution() -> None:
    weights = np.arange(2 * 2 * 3 * 3, dtype=np.int8).reshape(2, 2, 3, 3)
    constants = {"w": weights, "step": np.float32(1), "zero": np.uint8(7)}
    node = helper.make_node("Conv", ["x", "m"], ["y"], "conv", pads=[1, 1, 1, 1])
    (layer,) = integer_layers(graph(node, constants))
    assert (layer.zero_point, layer.activations) == (7, "q")
    assert layer.weights.shape == (1, 18, 2)
    assert layer.weights[0, :4, 0].tolist() == [0, 9, 1, 10]
    np.testing.assert_array_equal(layer.weights[0, :2, 1], weights[1, :, 0, 0])


def test_groups_are_apart_and_depthwise_is_left_out() -> None:
    constants = {"step": np.float32(1), "zero": np.uint8(0)}
    four = np.arange(4 * 2, dtype=np.int8).reshape(4, 2, 1, 1)
    grouped = helper.make_node("Conv", ["x", "m"], ["y"], "conv", group=2)
    (layer,) = integer_layers(graph(grouped, {**constants, "w": four}))
    assert layer.weights.tolist() == [[[0, 2], [1, 3]], [[4, 6], [5, 7]]]
    alone = helper.make_node("Conv", ["x", "m"], ["y"], "conv", group=4)
    depthwise = np.full((4, 1, 3, 3), 127, np.int8)
    assert list(integer_layers(graph(alone, {**constants, "w": depthwise}))) == []


def test_matrices_transposed_or_not() -> None:
    constants = {"step": np.float32(1), "zero": np.uint8(0)}
    matrix = np.arange(6, dtype=np.int8).reshape(3, 2)
    product = helper.make_node("MatMul", ["x", "m"], ["y"], "product")
    gemm = helper.make_node("Gemm", ["x", "m"], ["y"], "gemm", transB=1)
    for node, given in ((product, matrix), (gemm, matrix.T.copy())):
        (layer,) = integer_layers(graph(node, {**constants, "w": given}))
        np.testing.assert_array_equal(layer.weights, matrix[np.newaxis])


def packaged(tmp_path: Path, *, reduce_range: bool, refused: str = "") -> tuple[list[str], str]:
    """Names of what is packaged where 7 bits are refused for a reason, and what is said of it."""
    source = quantized(tmp_path / "a.onnx", reduce_range=reduce_range)

    def write(name: VariantName, path: Path) -> Variant:
        if refused and name == "int8-7bit":
            raise VerificationError(refused)
        return Variant(name, "int8", (File(path.name, "", 0),), (), {}, batch_invariant=True)

    choice = Choice(source, {}, (), "", tmp_path / "b.onnx")
    variants, said = write_variants(choice, tmp_path / "float.onnx", write)
    return [variant.name for variant in variants], said


def test_7_bits_are_packaged_beside_8_where_those_saturate(tmp_path: Path) -> None:
    names, said = packaged(tmp_path, reduce_range=False)
    assert (names, said) == (["int8", "int8-7bit", "float"], "packaged")


def test_7_bits_outside_the_tolerance_are_not_packaged(tmp_path: Path) -> None:
    reason = "int8-7bit: mae 0.5000 > 0.1"
    names, said = packaged(tmp_path, reduce_range=False, refused=reason)
    assert (names, said) == (["int8", "float"], f"not packaged: {reason}")


def test_7_bits_are_not_needed_where_nothing_saturates(tmp_path: Path) -> None:
    names, said = packaged(tmp_path, reduce_range=True)
    assert names == ["int8", "float"]
    assert said.startswith("not needed")


def test_float_alone_where_int8_does_not_qualify(tmp_path: Path) -> None:
    def write(name: VariantName, path: Path) -> Variant:
        return Variant(name, "float", (File(path.name, "", 0),), (), {}, batch_invariant=True)

    choice = replace(Choice(None, {}, (), "slower"), int8_7bit=None)
    variants, said = write_variants(choice, tmp_path / "float.onnx", write)
    assert ([variant.name for variant in variants], said) == (["float"], "float serves")
