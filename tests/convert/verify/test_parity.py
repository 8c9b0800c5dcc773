from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from convert.errors import VerificationError
from convert.package.measure_variant import VariantName, measure_variant, timed
from convert.recipe import Tolerance
from convert.samples.golden import Golden
from convert.samples.sets import SampleSets
from convert.verify.parity import (
    batch_invariant,
    check_parity,
    integer_operators,
    run_graph,
    run_rows,
)
from runtime.artifact.manifest import Spec, TensorSpec, Variant
from tests.convert.support.parity import rows

SIDE = 4
PIXELS = np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE, 3)).astype(np.uint8)
SAMPLES = rows(PIXELS)


def write(
    path: Path, nodes: Sequence[onnx.NodeProto], constants: Mapping[str, np.ndarray] | None = None
) -> Path:
    """A graph from `image` (N, 4, 4, 3) through `x`, float in [0, 1], to `probabilities`."""
    pixels = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Div", ["planes", "scale"], ["x"]),
    ]
    arrays = {"scale": np.array(255, np.float32), **(constants or {})}
    shape: list[int | str] = ["N", SIDE, SIDE, 3]
    graph = helper.make_graph(
        [*pixels, *nodes],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def mean(path: Path, *, offset: float = 0.0) -> Path:
    """The mean of each channel."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("Add", ["mean", "offset"], ["probabilities"]),
    ]
    return write(path, nodes, {"offset": np.array(offset, np.float32)})


def fake_int8(path: Path) -> Path:
    """Weights stored as INT8, computed in float: onnxruntime folds them back."""
    nodes = [
        helper.make_node("DequantizeLinear", ["small", "step", "zero"], ["weight"], axis=0),
        helper.make_node("Conv", ["x", "weight"], ["map"], kernel_shape=[1, 1]),
        helper.make_node("ReduceMean", ["map"], ["probabilities"], axes=[2, 3], keepdims=0),
    ]
    constants = {
        "small": np.eye(3, dtype=np.int8)[:, :, None, None] * np.int8(100),
        "step": np.full(3, 0.01, np.float32),
        "zero": np.zeros(3, np.int8),
    }
    return write(path, nodes, constants)


def centred_on_the_batch(path: Path) -> Path:
    """Every row minus the mean over the rows."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("ReduceMean", ["mean"], ["centre"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["mean", "centre"], ["probabilities"]),
    ]
    return write(path, nodes)


def reference(images: np.ndarray) -> dict[str, np.ndarray]:
    return {"probabilities": (images / np.float32(255)).mean(axis=(1, 2), dtype=np.float32)}


def spec() -> Spec:
    return Spec(
        schema_version=1,
        id="tiny",
        task="image-classification",
        description="",
        labels=("red", "green", "blue"),
        inputs=(TensorSpec("image", "uint8", ("N", SIDE, SIDE, 3)),),
        outputs=(TensorSpec("probabilities", "float32", ("N", 3)),),
        preprocess=(),
        licence="Apache-2.0",
    )


def test_parity_is_measured_at_both_batch_sizes(tmp_path: Path) -> None:
    found = check_parity(reference(PIXELS), run_graph(mean(tmp_path / "a.onnx"), SAMPLES))
    assert set(found) == {"max_abs_difference_batch_1", "max_abs_difference_batch_3"}
    assert max(found.values()) < 1e-6


def test_parity_over_the_tolerance_is_refused(tmp_path: Path) -> None:
    graph = mean(tmp_path / "a.onnx", offset=2e-4)
    with pytest.raises(VerificationError, match=r"by 2\.00e-04 at batch 1; allowed: 1e-04"):
        check_parity(reference(PIXELS), run_graph(graph, SAMPLES))


def test_parity_of_a_batch_is_looked_at_too(tmp_path: Path) -> None:
    # alone a row is its own mean, so zero is right at batch 1 and wrong at batch 3
    graph = centred_on_the_batch(tmp_path / "a.onnx")
    zeros = {"probabilities": np.zeros((5, 3), np.float32)}
    zeros["probabilities"][4] = 1e-6
    with pytest.raises(VerificationError, match="at batch 3"):
        check_parity(zeros, run_graph(graph, SAMPLES))


def test_parity_with_a_constant_reference_proves_nothing(tmp_path: Path) -> None:
    constant = {"probabilities": np.full((5, 3), 0.5, np.float32)}
    with pytest.raises(VerificationError, match="same output for every input"):
        check_parity(constant, run_graph(mean(tmp_path / "a.onnx"), SAMPLES))


def test_parity_with_nan_is_refused(tmp_path: Path) -> None:
    broken = reference(PIXELS)
    broken["probabilities"][2, 1] = np.nan
    with pytest.raises(VerificationError, match="differs from the reference by inf"):
        check_parity(broken, run_graph(mean(tmp_path / "a.onnx"), SAMPLES))


def test_row_that_depends_on_its_companions_is_seen(tmp_path: Path) -> None:
    assert batch_invariant(mean(tmp_path / "a.onnx"), SAMPLES)
    assert not batch_invariant(centred_on_the_batch(tmp_path / "b.onnx"), SAMPLES)


def test_fake_int8_has_no_integer_operators(tmp_path: Path) -> None:
    path = fake_int8(tmp_path / "fake.onnx")
    found = run_rows(path, SAMPLES)["probabilities"]
    np.testing.assert_allclose(found, reference(PIXELS)["probabilities"], atol=1e-5)
    assert integer_operators(path) == {}


def variant(path: Path, name: str, tolerance: Tolerance | None) -> object:
    golden = Golden(SAMPLES[:2], reference(PIXELS[:2]))
    media = SampleSets("synthetic", SAMPLES, SAMPLES, SAMPLES)
    run = run_graph(path, SAMPLES)
    return measure_variant(
        cast("VariantName", name),
        path,
        run,
        spec(),
        media,
        reference(PIXELS),
        golden,
        tolerance,
        "scene",
    )


def test_fake_int8_is_refused(tmp_path: Path) -> None:
    path = fake_int8(tmp_path / "fake.onnx")
    with pytest.raises(VerificationError, match="int8: it computes in float"):
        variant(path, "int8", None)


def test_file_outside_the_tolerance_is_refused(tmp_path: Path) -> None:
    path = mean(tmp_path / "a.onnx", offset=0.2)
    tolerance = Tolerance(at_most={"probability_distance": 0.1})
    with pytest.raises(VerificationError, match=r"float: probability_distance 0\.3000 > 0\.1"):
        variant(path, "float", tolerance)


def test_variant_says_what_was_measured(tmp_path: Path) -> None:
    path = centred_on_the_batch(tmp_path / "a.onnx")
    found = measure_variant(
        "float",
        path,
        run_graph(path, SAMPLES),
        spec(),
        SampleSets("sha256:1", SAMPLES, SAMPLES, SAMPLES),
        {"probabilities": np.zeros((5, 3), np.float32)},
        Golden(SAMPLES[:2], {"probabilities": np.full((2, 3), 0.25, np.float32)}),
        None,
        "scene",
    )
    assert not found.batch_invariant
    assert found.cpu_features == ()
    assert found.files[0].name == "a.onnx"
    verification = found.verification
    assert (verification["inputs"], verification["inputs_source"]) == (5, "sha256:1")
    assert verification["judged"] is False
    assert verification["fidelity"]["top1_agreement"] == 1
    assert verification["golden"]["probabilities"] == {"mean_abs": 0.25, "max_abs": 0.25}


def test_variants_are_timed_in_one_run(tmp_path: Path) -> None:
    paths = [mean(tmp_path / f"{name}.onnx") for name in ("a", "b")]
    variants = [cast("Variant", variant(path, "float", None)) for path in paths]
    found = timed(variants, tmp_path, SAMPLES[0])
    assert all(one.verification["milliseconds"] > 0 for one in found)
    assert [one.files for one in found] == [one.files for one in variants]
