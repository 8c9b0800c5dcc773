"""Keras models as networks; the tests ask one process, without torch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.convert.support.keras_process import in_one_keras

INPUT_SHAPES = {
    "mini-64.keras": [64, 64, 1],
    "mini-48.h5": [48, 48, 1],
    "big-48.h5": [48, 48, 1],
    "big-48.keras": [48, 48, 1],
    "head-nested.h5": [16, 16, 1],
    "head-logits.keras": [16, 16, 1],
}
REFUSED = {
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
DAMAGED = ("cut-mini-48.h5", "cut-mini-48.keras", "holed.keras")


def write_damaged(keras_files: Path, directory: Path) -> list[Path]:
    for name in ("mini-48.h5", "mini-48.keras"):
        content = (keras_files / name).read_bytes()
        (directory / f"cut-{name}").write_bytes(content[: len(content) // 2])
    # the settings stay readable, the weights do not match their checksum
    middle = len(content) // 2
    holed = content[:middle] + bytes(4000) + content[middle + 4000 :]
    (directory / "holed.keras").write_bytes(holed)
    return [directory / name for name in DAMAGED]


@pytest.fixture(scope="module")
def reports(keras_files: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory = tmp_path_factory.mktemp("keras_model")
    bad = [*(keras_files / name for name in REFUSED), *write_damaged(keras_files, directory)]
    return in_one_keras(
        {
            "parity_of_each": [str(keras_files / name) for name in INPUT_SHAPES],
            "exports": [str(directory)],
            "unsupported": [],
            "ends_in_softmax": [str(keras_files)],
            "refusals": [str(path) for path in bad],
            "seeded_twice": [],
        }
    )


@pytest.mark.parametrize("name", INPUT_SHAPES)
def test_classifiers_load_and_export_equal(reports: dict[str, Any], name: str) -> None:
    report = reports["parity_of_each"][name]
    assert report["input"] == ["N", *INPUT_SHAPES[name]]
    assert max(report["differences"].values()) <= 1e-4
    assert report["spread"] > 1e-3  # a constant answer would prove nothing
    np.testing.assert_allclose(report["sums"], 1, atol=1e-5)


def test_values_that_layers_hold_outside_their_weights_are_exported(
    reports: dict[str, Any],
) -> None:
    exports = reports["exports"]
    assert len(exports) == 15  # seven models, as .keras and as .h5, and one as .keras
    for name, report in exports.items():
        assert report["inputs"] == 1, name
        # models without a rescaling layer compute on levels up to 255
        assert report["difference"] <= 1e-4 * max(1, report["spread"]), name
        assert report["spread"] > 1e-3, name


def test_operators_without_onnx_form_are_named(reports: dict[str, Any]) -> None:
    refusal = "tf2onnx leaves TensorFlow operators without an ONNX form: BitwiseAnd"
    assert reports["unsupported"] == refusal


def test_softmax_is_detected_by_the_output_values(reports: dict[str, Any]) -> None:
    ends_in_softmax = reports["ends_in_softmax"]
    assert len(ends_in_softmax) == 12
    without = {name for name, answer in ends_in_softmax.items() if not answer}
    assert without == {"head-logits.h5", "head-logits.keras"}


def test_other_models_and_code_are_refused(reports: dict[str, Any], keras_files: Path) -> None:
    refusals = reports["refusals"]
    assert refusals.keys() == {*REFUSED, *DAMAGED}
    for name, reason in REFUSED.items():
        text = refusals[name]
        assert text.startswith(f"{keras_files / name}: "), name
        assert reason in text
        assert "\n" not in text


def test_damaged_files_are_refused(reports: dict[str, Any]) -> None:
    for name in DAMAGED:
        text = reports["refusals"][name]
        assert f"/{name}: " in text, name
        assert "\n" not in text


def test_seeded_weights_repeat(reports: dict[str, Any]) -> None:
    assert len(reports["seeded_twice"]) > 0
    assert all(reports["seeded_twice"])
