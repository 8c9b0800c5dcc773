import numpy as np
import pytest

from convert.samples.procedural import CALIBRATION, EVALUATION, GOLDEN, SAMPLES, generate_images
from convert.samples.procedural.images import Kind

SPLITS = (CALIBRATION, EVALUATION, GOLDEN, SAMPLES)


@pytest.mark.parametrize("kind", ["scene", "face"])
def test_images_repeat_whatever_their_number(kind: Kind) -> None:
    few, many = generate_images(kind, CALIBRATION, 3), generate_images(kind, CALIBRATION, 6)
    for first, second in zip(few, many[:3], strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("kind", ["scene", "face"])
def test_no_image_is_in_two_splits(kind: Kind) -> None:
    images = [image.tobytes() for split in SPLITS for image in generate_images(kind, split, 8)]
    assert len(set(images)) == len(images)


@pytest.mark.parametrize("kind", ["scene", "face"])
def test_images_are_rgb_of_various_sizes_and_light(kind: Kind) -> None:
    images = generate_images(kind, EVALUATION, 16)
    for image in images:
        assert image.dtype == np.uint8
        assert image.shape[2:] == (3,)
        assert min(image.shape[:2]) >= 48
        assert image.std() > 3  # grey levels: no image is blank
    assert len({image.shape for image in images}) > 8
    means = [float(image.mean()) for image in images]
    assert max(means) - min(means) > 60  # some are dark, some bright
