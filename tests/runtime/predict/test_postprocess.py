"""Detections of a whole model: in px of the source, as JSON, and without keypoints."""

from typing import Any

import numpy as np
import PIL.Image
import pytest

import runtime
from runtime.arrays import Image
from runtime.engine.session import SessionOptions
from runtime.predict.postprocess import Context, postprocess
from runtime.results import Detections
from tests.runtime.support.drawings import plain
from tests.runtime.support.pictures import encode, exif_with_orientation
from tests.support.artifacts import DETECTOR, write_artifact

ONE_THREAD = SessionOptions(threads=1)


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> runtime.Model:
    directory = write_artifact(tmp_path_factory.mktemp("detector"), DETECTOR)
    return runtime.load(directory, options=ONE_THREAD)


def two_objects(*, height: int, width: int) -> Image:
    """Return a grey image with a red rectangle and a fainter green one to the right and below."""
    image = plain(height, width)
    image[height // 4 : height // 2, width // 4 : width // 2] = (255, 0, 0)
    image[height // 4 * 3 :, width // 4 * 3 :] = (0, 204, 0)
    return image


def test_detections_are_in_pixels_of_the_source(detector: runtime.Model) -> None:
    # 64 x 32 px on a canvas of 16 x 16: a quarter of the size, 4 px of padding above and below
    image = plain(32, 64)
    image[:16, 16:32] = (255, 0, 0)
    image[16:, 48:] = (0, 204, 0)
    result = detector.predict(image)
    assert isinstance(result, Detections)
    assert result.labels == ("red", "green")
    assert result.classes.tolist() == [0, 1]
    assert result.scores.tolist() == pytest.approx([1.0, 0.8], abs=1e-6)
    assert result.boxes_xyxy.tolist() == [[16, 0, 32, 16], [48, 16, 64, 32]]
    assert result.keypoints is not None
    assert result.keypoints.tolist() == [[[24, 8]], [[56, 24]]]


def test_detections_are_converted_to_json(detector: runtime.Model) -> None:
    image = two_objects(height=16, width=16)
    content: dict[str, Any] = dict(detector.predict(image).to_json())
    first, second = content["detections"]
    assert first == {
        "label": "red",
        "score": 1.0,
        "box": {"x1": 4.0, "y1": 4.0, "x2": 8.0, "y2": 8.0},
        "keypoints": [[6.0, 6.0]],
    }
    assert (second["label"], second["box"]["x2"]) == ("green", 16.0)
    assert detector.predict(plain(20, 30)).to_json() == {"detections": []}


def test_a_rotated_photo_is_turned_upright(detector: runtime.Model) -> None:
    upright = two_objects(height=64, width=48)
    # orientation 6: viewers turn the image clockwise by a quarter
    stored = PIL.Image.fromarray(np.rot90(upright))
    data = encode(stored, "PNG", exif=exif_with_orientation(6))
    from_file, from_pixels = (
        dict[str, Any](detector.predict(image).to_json()) for image in (data, upright)
    )
    assert from_file == from_pixels
    assert len(from_pixels["detections"]) == 2


def test_a_detector_without_keypoints_has_none_in_its_answer(detector: runtime.Model) -> None:
    context = Context(detector.spec, 1, "", source_height=16, source_width=16)
    image = two_objects(height=16, width=16)[np.newaxis]
    outputs = detector.run({"image": image}, ["boxes_xyxy", "scores"])
    result = postprocess(outputs, context)
    assert isinstance(result, Detections)
    assert result.keypoints is None
    assert "keypoints" not in result.to_json()["detections"][0]


def test_nan_scores_are_an_error_and_not_an_empty_answer(detector: runtime.Model) -> None:
    context = Context(detector.spec, 1, "", source_height=16, source_width=16)
    outputs = detector.run({"image": np.zeros((1, 16, 16, 3), np.uint8)})
    outputs["scores"] = np.full((1, 32, 2), np.nan, np.float32)
    with pytest.raises(ArithmeticError, match="tiny_detector returned scores that are not numbers"):
        postprocess(outputs, context)
