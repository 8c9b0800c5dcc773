"""The views of test-time augmentation, and boxes in them."""

import numpy as np
import pytest

from runtime.arrays import Image
from runtime.tasks.augmentation import VIEWS, View


def noise(height: int = 40, width: int = 60) -> Image:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_views_are_always_the_same() -> None:
    assert [len(VIEWS[name]) for name in ("none", "flip", "full")] == [1, 2, 6]
    image = noise()
    for view in VIEWS["full"]:
        np.testing.assert_array_equal(view.apply(image), view.apply(image))
        assert view.apply(image).shape == image.shape
        assert view.apply(image).dtype.name == "uint8"


def test_views_transform_pixels_as_their_names_say() -> None:
    image = noise()
    plain, mirrored, *_, darker, brighter = (view.apply(image) for view in VIEWS["full"])
    np.testing.assert_array_equal(plain, image)
    np.testing.assert_array_equal(mirrored, image[:, ::-1])
    exact = image.astype(float)
    assert np.abs(darker - exact * 0.8).max() <= 0.51  # rounded
    assert np.abs(brighter - (exact * 1.25).clip(0, 255)).max() <= 0.51


@pytest.mark.parametrize("view", VIEWS["full"], ids=lambda view: view.name)
@pytest.mark.parametrize("size", [(200, 300), (3000, 1000)])
def test_a_box_moves_with_the_pixels_below_it(view: View, size: tuple[int, int]) -> None:
    height, width = size
    image = np.zeros((height, width, 3), np.uint8)
    left, top, side = width // 8, height // 4, width // 10
    image[top : top + side, left : left + side] = 200
    transformed = view.apply(image)
    face = np.array([left, top, left + side, top + side], np.float32)
    moved = view.move_box(face, before=size, after=(transformed.shape[0], transformed.shape[1]))
    rows, columns = np.nonzero(transformed[:, :, 0] > 100)
    center = np.array([columns.mean() + 0.5, rows.mean() + 0.5])
    np.testing.assert_allclose(moved.reshape(2, 2).mean(axis=0), center, atol=0.5)  # px


@pytest.mark.parametrize("size", [(1, 1), (1, 40_000), (40_000, 2), (1, 7)])
def test_images_of_odd_sizes_have_views(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 90, np.uint8)
    for view in VIEWS["full"]:
        transformed = view.apply(image)
        assert transformed.ndim == 3
        assert 0 not in transformed.shape
        assert transformed.shape[2] == 3
        assert not view.degrees or max(transformed.shape) <= 1024
