"""The measurements of a variant in the manifest, and the variants that are refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert.errors import VerificationError
from convert.gate.evidence import Evidence
from convert.gate.rule import Rule
from convert.gate.yardstick import Yardstick
from convert.metrics import Outputs
from convert.package.half_precision import write_float16
from convert.package.measure_variant import (
    Criteria,
    VariantName,
    measure_variant,
    time_variants,
)
from convert.recipe import Tolerance
from convert.samples.golden import GoldenSamples
from convert.samples.sets import SampleSets
from convert.verify.parity import run_graph
from runtime.artifact.manifest import Variant
from tests.convert.support.quantized import write_int8
from tests.convert.support.tiny_graphs import (
    PIXELS,
    SAMPLES,
    means,
    spec,
    write_centred,
    write_fake_int8,
    write_mean,
)

SAMPLE_SETS = SampleSets("sha256:1", SAMPLES, SAMPLES, SAMPLES)
GOLDEN = GoldenSamples(SAMPLES[:2], means(PIXELS[:2]))


def measured(
    name: VariantName,
    path: Path,
    *,
    tolerance: Tolerance | None = None,
    reference: Outputs | None = None,
    golden: GoldenSamples = GOLDEN,
) -> Variant:
    """Measure a file; the default reference is the mean of each channel."""
    outputs = means(PIXELS) if reference is None else reference
    rule = None if tolerance is None else Rule(tolerance)
    criteria = Criteria(spec(), SAMPLE_SETS, outputs, golden, rule, "scene")
    return measure_variant(name, path, run_graph(path, SAMPLES), criteria)


def test_int8_that_computes_in_float_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match="int8: it computes in float"):
        measured("int8", write_fake_int8(tmp_path / "fake.onnx"))


def test_a_file_outside_the_tolerance_is_refused(tmp_path: Path) -> None:
    path = write_mean(tmp_path / "a.onnx", offset=0.2)
    tolerance = Tolerance(at_most={"probability_distance": 0.1})
    with pytest.raises(VerificationError, match=r"float: probability_distance 0\.3000 > 0\.1"):
        measured("float", path, tolerance=tolerance)


def test_a_7_bit_variant_that_may_saturate_is_refused(tmp_path: Path) -> None:
    path = write_int8(tmp_path / "int8.onnx", reduce_range=False)
    # outputs of another graph will do: whether products may saturate is read from the file
    run = run_graph(write_mean(tmp_path / "mean.onnx"), SAMPLES)
    empty = GoldenSamples(SAMPLES[:1], {})
    criteria = Criteria(spec(), SAMPLE_SETS, means(PIXELS), empty, None, "scene")
    with pytest.raises(
        VerificationError, match=r"int8-7bit: 3 layers may saturate, \S+Conv the first"
    ):
        measure_variant("int8-7bit", path, run, criteria)


def test_a_variant_records_its_measurements(tmp_path: Path) -> None:
    variant = measured(
        "float",
        write_centred(tmp_path / "a.onnx"),
        reference={"probabilities": np.zeros((5, 3), np.float32)},
        golden=GoldenSamples(SAMPLES[:2], {"probabilities": np.full((2, 3), 0.25, np.float32)}),
    )
    assert not variant.batch_invariant
    assert variant.cpu_features == ()
    assert variant.files[0].name == "a.onnx"
    verification = variant.verification
    assert (verification["inputs"], verification["inputs_source"]) == (5, "sha256:1")
    assert verification["judged"] is False
    assert verification["fidelity"]["top1_agreement"] == 1
    assert verification["golden"]["probabilities"] == {"mean_abs": 0.25, "max_abs": 0.25}


def test_float16_is_for_gpus_and_its_speed_is_not_measured(tmp_path: Path) -> None:
    write_float16(write_mean(tmp_path / "float.onnx"), tmp_path / "fp16.onnx")
    tolerance = Tolerance(at_most={"probability_distance": 0.1})
    half = measured("fp16", tmp_path / "fp16.onnx", tolerance=tolerance)
    assert (half.precision, half.providers, half.cpu_features) == (
        "float16",
        ("tensorrt", "cuda"),
        (),
    )
    assert half.verification["judged"] is True
    plain = measured("float", tmp_path / "float.onnx", tolerance=tolerance)
    first, second = time_variants([plain, half], tmp_path, SAMPLES[0])
    assert first.verification["milliseconds"] > 0
    assert "milliseconds" not in second.verification
    assert not second.batch_times_ms
    assert second.verification["speed"] == "unverified: not measured on a GPU"
    write_float16(write_mean(tmp_path / "off.onnx", offset=0.2), tmp_path / "off16.onnx")
    with pytest.raises(VerificationError, match=r"fp16: probability_distance 0\.\d+ > 0\.1"):
        measured("fp16", tmp_path / "off16.onnx", tolerance=tolerance)


def test_variants_are_timed_together(tmp_path: Path) -> None:
    paths = [write_mean(tmp_path / f"{name}.onnx") for name in ("a", "b")]
    variants = [measured("float", path) for path in paths]
    timed = time_variants(variants, tmp_path, SAMPLES[0])
    assert all(variant.verification["milliseconds"] > 0 for variant in timed)
    recorded = timed[0].verification["batch_milliseconds"]
    assert list(recorded) == ["1", "2", "4", "8", "16", "32"]
    assert timed[0].batch_times_ms == {int(rows): ms for rows, ms in recorded.items()}
    assert [variant.files for variant in timed] == [variant.files for variant in variants]


def test_rows_that_depend_on_their_batch_are_not_timed_in_one(tmp_path: Path) -> None:
    path = write_mean(tmp_path / "a.onnx")
    variant = replace(measured("float", path), batch_invariant=False)
    (timed,) = time_variants([variant], tmp_path, SAMPLES[0])
    assert "batch_milliseconds" not in timed.verification


GATE = Rule(
    tolerance=Tolerance(at_most={"probability_distance": -1}),  # alone it refuses everything
    gate=Tolerance(at_most={"probability_distance": 0.1}),
    evidence=Evidence(sources=60, sure=120, sure_noun="sure inputs", sure_needed=100),
    yardstick=Yardstick({"grey_level": {"regret": 0.001}, "jpeg": {"regret": 0.002}}),
)


def test_a_variant_that_the_bounds_of_the_task_accept_records_how_it_was_judged(
    tmp_path: Path,
) -> None:
    def measure_half(path: Path, rule: Rule) -> Variant:
        write_float16(path, path.with_suffix(".fp16"))
        criteria = Criteria(spec(), SAMPLE_SETS, means(PIXELS), GOLDEN, rule, "scene")
        file = path.with_suffix(".fp16")
        return measure_variant("fp16", file, run_graph(file, SAMPLES), criteria)

    near = write_mean(tmp_path / "near.onnx")
    recorded = measure_half(near, GATE).verification
    assert recorded["judged_by"] == "task"
    assert recorded["tolerance"] == {"at_least": {}, "at_most": {"probability_distance": 0.1}}
    assert recorded["evidence"] == {"sources": 60, "sure_inputs": 120}
    assert recorded["yardstick"] == {"grey_level": {"regret": 0.001}, "jpeg": {"regret": 0.002}}
    assert recorded["sureness"].startswith("judged by the bounds of the task, on 60 test media")
    with pytest.raises(VerificationError, match="fp16: probability_distance"):
        measure_half(near, replace(GATE, gate=None))
    with pytest.raises(VerificationError, match=r"fp16: probability_distance 0\.\d+ > 0\.1"):
        measure_half(write_mean(tmp_path / "far.onnx", offset=0.2), GATE)
