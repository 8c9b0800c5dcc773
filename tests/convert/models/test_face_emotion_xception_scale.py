"""The scale of pixels of `face_emotion_xception`: every way to learn it, against Keras."""

from typing import Any

import numpy as np
import pytest

from convert.errors import ConvertError
from convert.export.numerics.pixel_scale import SCALES, parse_scale
from tests.convert.support.keras_process import in_keras

FACTS = {
    "efficientnet": ["input_scale", "raw", "file"],
    "mobilenetv3": ["input_scale", "raw", "file"],
    "rescaling": ["input_scale", "raw", "file"],
    "from unit": ["input_scale", "unit", "file"],
    "resnet50 inside": ["input_scale", "raw", "file"],
    "mobilenet_v2 inside": ["input_scale", "raw", "file"],
    "bare": ["input_scale", "symmetric", "default"],
    **{name: ["input_scale", name, "option"] for name in ("unit", "raw", "caffe", "imagenet")},
    "own": ["input_scale", "0.4/0.2,0.25,0.3", "option"],
}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    answers: dict[str, dict[str, Any]] = in_keras("scales", str(tmp_path_factory.mktemp("scales")))
    return answers


@pytest.mark.parametrize("name", FACTS)
def test_probabilities_are_those_of_keras_on_pixels_as_trained(
    reports: dict[str, dict[str, Any]], name: str
) -> None:
    report = reports[name]
    assert report["fact"] == FACTS[name]
    assert report["difference"] < 1e-4
    assert report["spread"] > 1e-4  # different faces have different answers


def test_the_default_is_named_with_the_way_to_state_it(reports: dict[str, dict[str, Any]]) -> None:
    sentence = reports["bare"]["sentence"]
    assert "assumed: symmetric, -1 to 1" in sentence
    assert "--input-scale unit, raw, imagenet or caffe, or --input-mean" in sentence


def test_a_scale_of_three_channels_does_not_fit_one() -> None:
    with pytest.raises(ConvertError, match="has 3 channels; the network takes 1"):
        SCALES["caffe"].arguments(1)


@pytest.mark.parametrize("text", ["tf", "0.5", "0.5/0", "0.5/x", "1,2/1", "nan/1", "1/2/3", ""])
def test_other_scales_are_refused(text: str) -> None:
    with pytest.raises(ConvertError, match=r"the input scale is .*; allowed: unit, symmetric, raw"):
        parse_scale(text)


def test_mean_and_deviation_are_in_0_to_1() -> None:
    scale = parse_scale("0.485,0.456,0.406/0.25")
    arguments = scale.arguments(3)
    pixel = (np.array([255.0]) / float(arguments["divisor"]) - arguments["mean"]) / arguments["std"]
    np.testing.assert_allclose(pixel, [2.06, 2.176, 2.376])
