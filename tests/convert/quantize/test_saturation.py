"""8-bit products without VNNI, and what is packaged for CPUs that have none."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from convert.errors import VerificationError
from convert.files import sha256
from convert.package.measure_variant import (
    EXACT_CPU_FEATURES,
    INT8_CPU_FEATURES,
    SEVEN_BIT_CPU_FEATURES,
    VariantName,
    cpu_features,
)
from convert.package.variants import write_variants
from convert.quantize.choose import Choice
from convert.quantize.quantizer import Quantizer, Setting, all_op_types
from convert.quantize.saturation import (
    exact,
    integer_layers,
    may_saturate,
    saturated,
    saturating_layers,
)
from convert.quantize.saturation.captured import patches
from convert.quantize.saturation.fitting import fitting_ranges
from convert.quantize.saturation.losses import losses
from runtime.artifact.manifest import File, Variant, read_manifest
from runtime.artifact.schema import to_json
from runtime.engine.resources import cpu_features as cpu_features_here
from runtime.engine.session import Session
from runtime.errors import ArtifactError
from tests.convert.support import nets
from tests.convert.support.parity import write_float_graph
from tests.support.artifacts import CLASSIFIER, edit_manifest, rewrite_golden, write_artifact

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


def test_onnxruntime_computes_as_its_cpu_does(tmp_path: Path) -> None:
    """In 32 bits with VNNI or on ARM, in saturating pairs on other x86; depths may be odd."""
    activations = RNG.integers(0, 256, (9, 45)).astype(np.uint8)
    weights = RNG.integers(-127, 128, (45, 21)).astype(np.int8)
    made = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "w"], ["y"], "product")],
        "g",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, None)],
        [helper.make_tensor_value_info("y", TensorProto.INT32, None)],
        [numpy_helper.from_array(weights, "w")],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(made, opset_imports=opset, ir_version=8), tmp_path / "a.onnx")
    (found,) = Session(tmp_path / "a.onnx").run({"a": activations}).values()
    damaged = saturated(activations, weights)
    assert damaged.saturated_pairs > 50
    in_pairs = "avx2" in cpu_features_here() and not set(INT8_CPU_FEATURES) & cpu_features_here()
    expected = damaged.sums if in_pairs else exact(activations, weights)
    np.testing.assert_array_equal(found, expected)


def quantized(path: Path, *, reduce_range: bool) -> Path:
    write_float_graph(nets.loaded(nets.convolutions(layers=2)), path)
    quantizer = Quantizer(onnx.load(path), nets.media().calibration)
    onnx.save(quantizer.quantize(Setting(all_op_types(), reduce_range=reduce_range)), path)
    return path


def features(name: VariantName, path: Path) -> tuple[str, ...]:
    return cpu_features(name, path, saturating_layers(path))


def test_layers_of_a_quantized_net(tmp_path: Path) -> None:
    path = quantized(tmp_path / "int8.onnx", reduce_range=False)
    layers = list(integer_layers(onnx.load(path)))
    assert [layer.op_type for layer in layers] == ["Conv", "Conv", "Gemm"]
    assert [layer.weights.shape for layer in layers] == [(1, 36, 32), (1, 288, 32), (1, 32, 4)]
    assert saturating_layers(path) == [layer.name for layer in layers]
    assert features("int8", path) == INT8_CPU_FEATURES


def test_reduced_range_leaves_no_layer_that_may_saturate(tmp_path: Path) -> None:
    path = quantized(tmp_path / "int8-7bit.onnx", reduce_range=True)
    layers = list(integer_layers(onnx.load(path)))
    assert len(layers) == 3
    largest = [abs(layer.weights.astype(int)).max() for layer in layers]
    assert min(largest) > 64  # more than 7 bits where neighbours leave room
    assert saturating_layers(path) == []
    assert features("int8-7bit", path) == SEVEN_BIT_CPU_FEATURES
    assert features("int8", path) == (*EXACT_CPU_FEATURES, *SEVEN_BIT_CPU_FEATURES)
    assert features("float", path) == ()


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
        needed = features(name, path) if name == "int8" else ()
        return Variant(name, "int8", (File(path.name, "", 0),), needed, {}, batch_invariant=True)

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


def test_what_saturates_all_the_same_has_no_second_file(tmp_path: Path) -> None:
    source = quantized(tmp_path / "a.onnx", reduce_range=False)

    def write(name: VariantName, path: Path) -> Variant:
        needed = features(name, path) if name == "int8" else ()
        return Variant(name, "int8", (File(path.name, "", 0),), needed, {}, batch_invariant=True)

    variants, said = write_variants(Choice(source, {}, (), ""), tmp_path / "float.onnx", write)
    assert [variant.name for variant in variants] == ["int8", "float"]
    assert "saturate all the same" in said


@pytest.mark.parametrize("op_type", ["MatMulNBits", "MatMulInteger", "DynamicQuantizeLinear"])
def test_ranges_of_the_moment_are_not_promised_to_pay_with_avx2(
    op_type: str, tmp_path: Path
) -> None:
    model = onnx.load(quantized(tmp_path / "a.onnx", reduce_range=True))
    model.graph.node.append(helper.make_node(op_type, ["a", "b"], ["c"]))
    onnx.save(model, tmp_path / "b.onnx")
    assert features("int8", tmp_path / "b.onnx") == EXACT_CPU_FEATURES


def test_float_alone_where_int8_does_not_qualify(tmp_path: Path) -> None:
    def write(name: VariantName, path: Path) -> Variant:
        return Variant(name, "float", (File(path.name, "", 0),), (), {}, batch_invariant=True)

    choice = replace(Choice(None, {}, (), "slower"), int8_7bit=None)
    variants, said = write_variants(choice, tmp_path / "float.onnx", write)
    assert ([variant.name for variant in variants], said) == (["float"], "float serves")


def test_ranges_are_as_wide_as_the_pairs_of_a_channel_need() -> None:
    weights = np.array([[1, 1, 0, 0], [1, 0, -1, 0], [1, -1, 0.5, 0.25], [0, 0, 0, 0]], np.float32)
    node = helper.make_node("Gemm", ["x", "w"], ["y"], "gemm", transB=1)
    made = helper.make_graph([node], "g", [], [], [numpy_helper.from_array(weights, "w")])
    (ranges,) = fitting_ranges(helper.make_model(made)).values()
    limits = [channel["rmax"] for channel in ranges]
    np.testing.assert_allclose(limits, [2, 1, 1, 0])  # a pair of ones; ones that are no pair
    assert {channel["axis"] for channel in ranges} == {0}
    assert all(channel["rmin"] == -channel["rmax"] for channel in ranges)


def test_weights_at_any_range_that_fits_never_saturate() -> None:
    for depth in (3, 8, 27):
        weights = RNG.standard_normal((depth, 64)).astype(np.float32)
        weights[:2] = np.abs(weights[:2]).max()  # two equal neighbours, the largest of all
        node = helper.make_node("MatMul", ["x", "w"], ["y"], "product")
        made = helper.make_graph([node], "g", [], [], [numpy_helper.from_array(weights, "w")])
        (ranges,) = fitting_ranges(helper.make_model(made)).values()
        limits = np.array([channel["rmax"] for channel in ranges], np.float32)
        integers = np.rint(weights / limits * 127).astype(np.int8)
        assert not may_saturate(integers)
        assert abs(integers[:2].astype(int)).max() == 64


@pytest.mark.parametrize(
    ("shape", "groups", "attributes"),
    [
        ((5, 6, 7), 1, {"pads": [1, 0, 1, 2], "strides": [2, 1]}),
        ((6, 9, 9), 3, {"dilations": [2, 2], "pads": [2, 2, 2, 2]}),
        ((4, 8, 8), 1, {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
        ((4, 8, 8), 2, {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
        ((3, 20), 1, {"strides": [5]}),
    ],
)
def test_patches_are_what_a_convolution_multiplies(
    shape: tuple[int, ...], groups: int, attributes: dict[str, Any], tmp_path: Path
) -> None:
    rank = len(shape) - 1
    weights = RNG.integers(-5, 6, (groups * 4, shape[0] // groups, *[3, 2][:rank])).astype(np.int8)
    pixels = RNG.integers(0, 256, (1, *shape)).astype(np.uint8)
    node = helper.make_node(
        "Conv",
        ["x", "m"],
        ["y"],
        "conv",
        group=groups,
        kernel_shape=weights.shape[2:],
        **attributes,
    )
    constants = {"w": weights, "step": np.float32(1), "zero": np.uint8(7)}
    model = graph(node, constants)
    model.ir_version, model.opset_import[0].version = 8, 17
    onnx.save(model, tmp_path / "conv.onnx")
    (expected,) = Session(tmp_path / "conv.onnx").run({"q": pixels}).values()
    (layer,) = integer_layers(model)
    made = patches(pixels[0], layer)
    sums = [exact(rows, group) for rows, group in zip(made, layer.weights, strict=True)]
    offsets = 7 * layer.weights.astype(int).sum(axis=1)
    found = np.concatenate([s - o for s, o in zip(sums, offsets, strict=True)], axis=1)
    np.testing.assert_array_equal(found.T.reshape(expected.shape[1:]), expected[0])


def test_losses_of_an_artifact(tmp_path: Path) -> None:
    directory = write_artifact(tmp_path, CLASSIFIER)
    with pytest.raises(ArtifactError, match="its variants are float; nothing of it is 8-bit"):
        losses(directory)
    path = directory / "float.onnx"
    files = {}
    for name, reduce_range in (("int8", False), ("int8-7bit", True)):
        quantized(path, reduce_range=reduce_range)
        made = File(f"{name}.onnx", sha256(path), path.stat().st_size)
        path.rename(directory / made.name)
        files[name] = made
    manifest = to_json(read_manifest(directory))
    plain = manifest["variants"][0]
    variants = [{**plain, "name": n, "files": [to_json(f)]} for n, f in files.items()]
    images = np.full((2, nets.SIDE, nets.SIDE, 3), 255, np.uint8)
    rewrite_golden(directory, {"input/image": images})
    edit_manifest(directory, {"variants": variants})
    found = losses(directory)
    assert [one.op_type for one in found] == ["Conv", "Conv", "Gemm"]
    first = found[0]
    assert first.saturated_pairs > 0
    assert first.error_8_bit > 0.05
    assert first.error_7_bit is not None
    assert first.error_7_bit < 0.02
