"""Keras 2 files: equal to the Keras 3 model of the same weights, or refused by name."""

from typing import Any

import pytest

from tests.convert.support.keras_process import in_keras


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    answers: dict[str, dict[str, Any]] = in_keras("keras2", str(tmp_path_factory.mktemp("keras2")))
    return answers


@pytest.mark.parametrize(
    ("name", "scale"), [("tutorial", "raw"), ("caffe", "raw"), ("nested", None)]
)
def test_a_keras_2_file_equals_the_keras_3_model(
    reports: dict[str, dict[str, Any]], name: str, scale: str | None
) -> None:
    report = reports[name]
    assert report["difference"] < 1e-5
    assert report["spread"] > 1e-6  # a constant answer would prove nothing
    assert report["scale"] == scale
    assert report["exported"] == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unknown", "the operation 'py_function' between layers is not known here; known: nn."),
        ("own", "'MyPooling' is no layer of Keras, and its code is not in the file. Write a"),
        ("half", "a model of mixed_float16; needed: float32"),
    ],
)
def test_what_keras_2_alone_has_is_refused_by_name(
    reports: dict[str, dict[str, Any]], name: str, message: str
) -> None:
    assert message in reports[name]["refusal"]
