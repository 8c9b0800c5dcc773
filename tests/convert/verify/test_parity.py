"""Parity with the reference, rows of a batch, and integer operators."""

from pathlib import Path

import numpy as np
import pytest

from convert.errors import VerificationError
from convert.verify.parity import (
    batch_invariant,
    check_parity,
    integer_operators,
    run_graph,
    run_samples,
)
from tests.convert.support.tiny_graphs import (
    PIXELS,
    SAMPLES,
    means,
    write_centred,
    write_fake_int8,
    write_mean,
)


def test_parity_is_measured_alone_and_in_a_batch(tmp_path: Path) -> None:
    differences = check_parity(means(PIXELS), run_graph(write_mean(tmp_path / "a.onnx"), SAMPLES))
    assert set(differences) == {"max_abs_difference_batch_1", "max_abs_difference_batch_3"}
    assert max(differences.values()) < 1e-6


def test_a_difference_over_the_tolerance_is_refused(tmp_path: Path) -> None:
    run = run_graph(write_mean(tmp_path / "a.onnx", offset=2e-4), SAMPLES)
    with pytest.raises(VerificationError, match=r"by 2\.00e-04 at batch 1; allowed: 1e-04"):
        check_parity(means(PIXELS), run)


@pytest.mark.parametrize(
    ("scale", "moved", "says"),
    [(1, 2e-5, True), (1, 5e-6, False), (300, 2e-5, False)],  # the last: pixels of 300
)
def test_a_refusal_says_whether_the_network_amplifies_rounding(
    tmp_path: Path, scale: float, moved: float, says: bool
) -> None:
    run = run_graph(write_mean(tmp_path / "a.onnx", offset=2e-4), SAMPLES)
    reference = {"probabilities": means(PIXELS)["probabilities"] * np.float32(scale)}
    rounded = {"probabilities": reference["probabilities"] + np.float32(moved)}
    with pytest.raises(VerificationError, match="allowed: 1e-04") as refusal:
        check_parity(reference, run, lambda: rounded)
    assert ("moves the reference itself by 2e-05" in str(refusal.value)) == says
    assert ("--calibration DIR" in str(refusal.value)) == says


def test_a_difference_in_a_batch_alone_is_refused(tmp_path: Path) -> None:
    # a row alone is its own mean: zero is right at batch 1 and wrong at batch 3
    run = run_graph(write_centred(tmp_path / "a.onnx"), SAMPLES)
    reference = {"probabilities": np.zeros((5, 3), np.float32)}
    reference["probabilities"][4] = 1e-6  # a constant reference would be refused
    with pytest.raises(VerificationError, match="at batch 3"):
        check_parity(reference, run)


def test_a_constant_reference_is_refused(tmp_path: Path) -> None:
    run = run_graph(write_mean(tmp_path / "a.onnx"), SAMPLES)
    constant = {"probabilities": np.full((5, 3), 0.5, np.float32)}
    with pytest.raises(VerificationError, match="same output for every input"):
        check_parity(constant, run)


def test_nan_is_refused(tmp_path: Path) -> None:
    reference = means(PIXELS)
    reference["probabilities"][2, 1] = np.nan
    run = run_graph(write_mean(tmp_path / "a.onnx"), SAMPLES)
    with pytest.raises(VerificationError, match="differs from the reference by inf"):
        check_parity(reference, run)


def test_rows_that_depend_on_their_batch_are_found(tmp_path: Path) -> None:
    assert batch_invariant(write_mean(tmp_path / "a.onnx"), SAMPLES)
    assert not batch_invariant(write_centred(tmp_path / "b.onnx"), SAMPLES)


def test_a_run_holds_every_sample_and_one_batch(tmp_path: Path) -> None:
    run = run_graph(write_mean(tmp_path / "a.onnx"), SAMPLES)
    expected = means(PIXELS)["probabilities"]
    np.testing.assert_allclose(run.outputs["probabilities"], expected, atol=1e-6)
    batch_rows = list(run.batch_rows)
    assert len(set(batch_rows)) == 3
    np.testing.assert_allclose(run.batch_outputs["probabilities"], expected[batch_rows], atol=1e-6)


def test_weights_in_int8_that_are_folded_back_are_no_integer_operators(tmp_path: Path) -> None:
    path = write_fake_int8(tmp_path / "fake.onnx")
    outputs = run_samples(path, SAMPLES)["probabilities"]
    np.testing.assert_allclose(outputs, means(PIXELS)["probabilities"], atol=1e-5)
    assert integer_operators(path) == {}
