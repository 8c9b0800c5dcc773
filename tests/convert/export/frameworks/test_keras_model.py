"""Keras models as networks; each test asks a process of its own, without torch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.convert.support.keras_process import in_keras

INPUT_SHAPES = {
    "mini-64.keras": [64, 64, 1],
    "mini-48.h5": [48, 48, 1],
    "big-48.h5": [48, 48, 1],
    "big-48.keras": [48, 48, 1],
    "head-nested.h5": [16, 16, 1],
    "head-logits.keras": [16, 16, 1],
}


@pytest.fixture(scope="module")
def parity(keras_files: Path) -> dict[str, dict[str, Any]]:
    """Compare the files of INPUT_SHAPES in one process: starting TensorFlow takes seconds."""
    reports: dict[str, dict[str, Any]] = in_keras(
        "parity_of_each", *(str(keras_files / name) for name in INPUT_SHAPES)
    )
    return reports


@pytest.mark.parametrize("name", INPUT_SHAPES)
def test_classifiers_load_and_export_equal(parity: dict[str, dict[str, Any]], name: str) -> None:
    report = parity[name]
    assert report["input"] == ["N", *INPUT_SHAPES[name]]
    assert max(report["differences"].values()) <= 1e-4
    assert report["spread"] > 1e-3  # a constant answer would prove nothing
    np.testing.assert_allclose(report["sums"], 1, atol=1e-5)


def test_values_that_layers_hold_outside_their_weights_are_exported(tmp_path: Path) -> None:
    reports = in_keras("exports", str(tmp_path))
    assert len(reports) == 15  # seven models, as .keras and as .h5, and one as .keras
    for name, report in reports.items():
        assert report["inputs"] == 1, name
        # models without a rescaling layer compute on levels up to 255
        assert report["difference"] <= 1e-4 * max(1, report["spread"]), name
        assert report["spread"] > 1e-3, name


def test_operators_without_onnx_form_are_named() -> None:
    message = in_keras("unsupported")
    assert message == "tf2onnx leaves TensorFlow operators without an ONNX form: BitwiseAnd"


def test_softmax_is_detected_by_the_output_values(keras_files: Path) -> None:
    ends_in_softmax = in_keras("ends_in_softmax", str(keras_files))
    assert len(ends_in_softmax) == 12
    without = {name for name, answer in ends_in_softmax.items() if not answer}
    assert without == {"head-logits.h5", "head-logits.keras"}


def test_other_models_and_code_are_refused(keras_files: Path) -> None:
    messages = {
        "vector.h5": "takes (None, 20); needed: (None, height, width, 1 or 3)",
        "map.h5": "returns a map, as for segmentation, of shape (14, 14, 7); needed: one value",
        "mask.keras": "returns a map, as for segmentation, of shape (14, 14, 1); needed: one",
        "regression.h5": "returns one value, of shape (1,); needed: one value for each of at least",
        "any-size.keras": "takes (None, None, None, 1); needed: (None, height, width, 1 or 3)",
        "four-channels.keras": "takes (None, 16, 16, 4); needed: (None, height, width, 1 or 3)",
        "two-images.keras": "has 2 inputs and 1 outputs; needed: one image in",
        "mini-48.weights.h5": "holds weights without an architecture",
        "code-lambda.h5": "Lambda would run code",
        "code-lambda.keras": "Lambda would run code",
        "code-nested-lambda.h5": "Lambda would run code",
        "code-nested-lambda.keras": "Lambda would run code",
        "code-function.h5": "function would run code",
        "code-function.keras": "function would run code",
        "code-class.h5": "Keras cannot load it",
        "code-class.keras": "Keras cannot load it",
        "code-map.keras": "would run code that the file brings; allowed: Keras's own layers",
        "head-sigmoid.keras": "do not sum to 1: independent labels",
    }
    refusals = in_keras("refusals", *(str(keras_files / name) for name in messages))
    assert refusals.keys() == messages.keys()
    for name, text in refusals.items():
        assert text.startswith(f"{keras_files / name}: "), name
        assert messages[name] in text
        assert "\n" not in text


def test_damaged_files_are_refused(keras_files: Path, tmp_path: Path) -> None:
    paths = []
    for name in ("mini-48.h5", "mini-48.keras"):
        content = (keras_files / name).read_bytes()
        paths.append(tmp_path / f"cut-{name}")
        paths[-1].write_bytes(content[: len(content) // 2])
    # the settings stay readable, the weights do not match their checksum
    middle = len(content) // 2
    paths.append(tmp_path / "holed.keras")
    paths[-1].write_bytes(content[:middle] + bytes(4000) + content[middle + 4000 :])
    refusals = in_keras("refusals", *map(str, paths))
    for path in paths:
        assert refusals[path.name].startswith(f"{path}: "), path.name
        assert "\n" not in refusals[path.name]


def test_seeded_weights_repeat() -> None:
    assert all(in_keras("seeded_twice"))
