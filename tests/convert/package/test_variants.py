"""The files of a version, and the CPUs that each is for."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import helper

from convert.errors import VerificationError
from convert.package.measure_variant import (
    EXACT_CPU_FEATURES,
    INT8_CPU_FEATURES,
    SEVEN_BIT_CPU_FEATURES,
    VariantName,
    cpu_features,
)
from convert.package.variants import write_gpu_variant, write_variants
from convert.quantize.choose import Choice
from convert.quantize.saturation import saturating_layers
from runtime.artifact.manifest import File, Variant
from tests.convert.support import nets
from tests.convert.support.parity import write_float_graph
from tests.convert.support.quantized import write_int8


def features(name: VariantName, path: Path) -> tuple[str, ...]:
    return cpu_features(name, path, saturating_layers(path))


def writer(refusal: str = "") -> Callable[[VariantName, Path], Variant]:
    """Return a stand-in for measuring a file; with a refusal it refuses the 7-bit variant."""

    def write(name: VariantName, path: Path) -> Variant:
        if refusal and name == "int8-7bit":
            raise VerificationError(refusal)
        needed = features(name, path) if name == "int8" else ()
        return Variant(name, "int8", (File(path.name, "", 0),), needed, {}, batch_invariant=True)

    return write


def packaged(
    tmp_path: Path, *, reduce_range: bool, with_7_bits: bool = True, refusal: str = ""
) -> tuple[list[str], str]:
    """Package a net in INT8; return the names of the variants and the remark on 7 bits."""
    source = write_int8(tmp_path / "a.onnx", reduce_range=reduce_range)
    choice = Choice(source, {}, (), "", tmp_path / "b.onnx" if with_7_bits else None)
    variants, remark = write_variants(choice, tmp_path / "float.onnx", writer(refusal))
    return [variant.name for variant in variants], remark


def test_7_bits_are_packaged_after_8_bits_that_saturate(tmp_path: Path) -> None:
    names, remark = packaged(tmp_path, reduce_range=False)
    assert (names, remark) == (["int8", "int8-7bit", "float"], "packaged")


def test_7_bits_outside_the_tolerance_are_not_packaged(tmp_path: Path) -> None:
    reason = "int8-7bit: mae 0.5000 > 0.1"
    names, remark = packaged(tmp_path, reduce_range=False, refusal=reason)
    assert (names, remark) == (["int8", "float"], f"not packaged: {reason}")


def test_7_bits_are_not_needed_where_nothing_saturates(tmp_path: Path) -> None:
    names, remark = packaged(tmp_path, reduce_range=True)
    assert names == ["int8", "float"]
    assert remark.startswith("not needed")


def test_7_bits_that_saturate_all_the_same_are_not_packaged_again(tmp_path: Path) -> None:
    names, remark = packaged(tmp_path, reduce_range=False, with_7_bits=False)
    assert names == ["int8", "float"]
    assert "saturate all the same" in remark


def test_float_alone_is_packaged_where_int8_does_not_qualify(tmp_path: Path) -> None:
    choice = Choice(None, {}, (), "slower")
    variants, remark = write_variants(choice, tmp_path / "float.onnx", writer())
    assert ([variant.name for variant in variants], remark) == (["float"], "float serves")


def test_a_variant_for_gpus_outside_the_tolerance_is_not_packaged(tmp_path: Path) -> None:
    source = tmp_path / "float.onnx"
    write_float_graph(nets.loaded(nets.convolutions(layers=1)), source)

    def write(name: VariantName, path: Path) -> Variant:
        assert (name, path.is_file()) == ("fp16", True)
        raise VerificationError("fp16: mae 0.5000 > 0.1")

    variants, remark = write_gpu_variant(source, write)
    assert (variants, remark) == ((), "not packaged: fp16: mae 0.5000 > 0.1")
    (half,), remark = write_gpu_variant(source, writer())
    assert half.name == "fp16"
    assert remark == "packaged; its speed is unverified: not measured on a GPU"


def test_cpu_features_of_each_variant(tmp_path: Path) -> None:
    eight = write_int8(tmp_path / "int8.onnx", reduce_range=False)
    seven = write_int8(tmp_path / "int8-7bit.onnx", reduce_range=True)
    assert features("int8", eight) == INT8_CPU_FEATURES
    assert features("int8", seven) == (*EXACT_CPU_FEATURES, *SEVEN_BIT_CPU_FEATURES)
    assert features("int8-7bit", seven) == SEVEN_BIT_CPU_FEATURES
    assert features("float", seven) == ()


@pytest.mark.parametrize("op_type", ["MatMulNBits", "MatMulInteger", "DynamicQuantizeLinear"])
def test_ranges_measured_at_run_are_not_promised_to_pay_with_avx2(
    op_type: str, tmp_path: Path
) -> None:
    model = onnx.load(write_int8(tmp_path / "a.onnx", reduce_range=True))
    model.graph.node.append(helper.make_node(op_type, ["a", "b"], ["c"]))
    onnx.save(model, tmp_path / "b.onnx")
    assert features("int8", tmp_path / "b.onnx") == EXACT_CPU_FEATURES
