from typing import get_args

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from runtime.errors import InputError
from runtime.manifest import CenterCrop, Grayscale, Interpolation, Resize, Step
from runtime.preprocess import center_crop, grayscale, preprocess, resize

INTERPOLATIONS: tuple[Interpolation, ...] = get_args(Interpolation)


def picture(height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    """Noise: the picture on which resizers differ most."""
    noise = np.random.default_rng(height * 1000 + width)
    return noise.integers(0, 256, (height, width, channels), dtype=np.uint8)


def grey(rows: list[list[int]]) -> NDArray[np.uint8]:
    return np.array(rows, np.uint8)[:, :, np.newaxis]


def pillow_bilinear(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    squeezed = image[:, :, 0] if image.shape[2] == 1 else image
    resized = Image.fromarray(squeezed).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized).reshape(height, width, image.shape[2])


@pytest.mark.parametrize(
    ("interpolation", "halved"),
    [
        ("nearest", [0, 80]),  # the left one of each pair
        ("linear", [20, 120]),  # the middle of each pair
        ("area", [20, 120]),
        # triangle of width 4: 3/7 0 + 3/7 40 + 1/7 80, and 1/7 40 + 3/7 80 + 3/7 160
        ("linear_antialias", [29, 109]),
        # 19/32 and -3/32 (a = -0.75), edges repeated: 23.75 - 7.5 and 142.5 - 3.75 - 15
        ("cubic", [16, 124]),
        # 0.620, -0.166, 0.060, -0.013: 24.8 - 13.3 + 9.6 - 2.0 and 49.6 - 6.7 + 80.2
        ("lanczos4", [19, 123]),
    ],
)
def test_resize_by_hand(interpolation: Interpolation, halved: list[int]) -> None:
    image = grey([[0, 40, 80, 160]])
    resized = resize(image, height=1, width=2, interpolation=interpolation)
    assert resized.tolist() == [[[level] for level in halved]]


def test_antialias_doubles_by_hand() -> None:
    # enlarging is plain linear: weights 3/4 and 1/4, the edge alone outside of the centres
    resized = resize(grey([[0, 100]]), height=1, width=4, interpolation="linear_antialias")
    assert resized[0, :, 0].tolist() == [0, 25, 75, 100]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((48, 64), (24, 32)),
        ((48, 64), (23, 31)),
        ((48, 64), (47, 65)),
        ((48, 64), (96, 128)),
        ((48, 64), (101, 131)),
        ((48, 64), (48, 17)),
        ((48, 64), (17, 64)),
        ((48, 64), (200, 5)),
        ((48, 64), (1, 1)),
        ((1, 1), (7, 5)),
        ((3, 500), (64, 64)),
        ((500, 3), (64, 64)),
        ((731, 517), (224, 224)),
        ((300, 400), (256, 341)),
        ((20000, 2), (256, 256)),
        ((1, 5000), (224, 224)),
    ],
)
def test_antialias_equals_pillow(
    source: tuple[int, int], target: tuple[int, int], channels: int
) -> None:
    image = picture(*source, channels)
    resized = resize(image, height=target[0], width=target[1], interpolation="linear_antialias")
    wanted = pillow_bilinear(image, *target)
    assert resized.dtype == np.uint8
    # 1 level: Pillow rounds between its two passes, this does not
    assert np.abs(resized.astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("level", [0, 1, 128, 254, 255])
def test_antialias_keeps_a_flat_picture(level: int) -> None:
    flat = np.full((97, 61, 3), level, np.uint8)
    for height, width in ((13, 17), (200, 199)):
        resized = resize(flat, height=height, width=width, interpolation="linear_antialias")
        assert (resized == level).all()


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_resize_keeps_the_channels(interpolation: Interpolation, channels: int) -> None:
    image = picture(30, 20, channels)
    resized = resize(image, height=7, width=45, interpolation=interpolation)
    assert resized.shape == (7, 45, channels)
    assert resized.dtype == np.uint8


@pytest.mark.parametrize(
    ("interpolation", "constant"),
    [
        ("nearest", cv2.INTER_NEAREST),
        ("linear", cv2.INTER_LINEAR),
        ("area", cv2.INTER_AREA),
        ("cubic", cv2.INTER_CUBIC),
        ("lanczos4", cv2.INTER_LANCZOS4),
    ],
)
def test_the_other_interpolations_are_those_of_opencv(
    interpolation: Interpolation, constant: int
) -> None:
    image = picture(60, 45)
    resized = resize(image, height=17, width=29, interpolation=interpolation)
    np.testing.assert_array_equal(resized, cv2.resize(image, (29, 17), interpolation=constant))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("shape", [(1, 5000, 3), (20000, 2, 3), (1, 1, 3), (2, 40000, 1)])
def test_extreme_shapes(interpolation: Interpolation, shape: tuple[int, int, int]) -> None:
    resized = resize(picture(*shape), height=48, width=64, interpolation=interpolation)
    assert resized.shape == (48, 64, shape[2])


@pytest.mark.parametrize(("height", "width"), [(0, 5), (5, 0), (-1, 5)])
def test_resize_to_nothing_is_refused(height: int, width: int) -> None:
    message = rf"an image of \(4, 6, 3\) to {height} x {width} .*at least 1 px"
    with pytest.raises(InputError, match=message):
        resize(picture(4, 6), height=height, width=width, interpolation="linear")


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 0, 3)])
def test_resize_of_nothing_is_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match="at least 1 px"):
        resize(np.zeros(shape, np.uint8), height=3, width=3, interpolation="linear_antialias")


@pytest.mark.parametrize(
    ("source", "side", "expected"),
    [
        ((480, 640), 256, (256, 341)),  # 341.33 truncated
        ((640, 480), 256, (341, 256)),
        ((333, 500), 256, (256, 384)),  # 384.38
        ((100, 299), 224, (224, 669)),  # 669.76 truncated, not rounded
        ((50, 50), 80, (80, 80)),
        ((256, 300), 256, (256, 300)),
        ((1, 50), 10, (10, 500)),
    ],
)
def test_shortest_side(source: tuple[int, int], side: int, expected: tuple[int, int]) -> None:
    step = Resize(interpolation="linear", shortest_side=side)
    assert preprocess(picture(*source), [step]).shape == (*expected, 3)


@pytest.mark.parametrize("shape", [(1, 51), (51, 1), (1, 5000), (20000, 2), (0, 5)])
def test_shortest_side_of_a_strip_is_refused(shape: tuple[int, int]) -> None:
    step = Resize(interpolation="linear_antialias", shortest_side=256)
    message = f"image of {shape[1]} x {shape[0]} px is too narrow; allowed: sides of at most 50 : 1"
    with pytest.raises(InputError, match=message):
        preprocess(np.zeros((*shape, 3), np.uint8), [step])


def test_center_crop_by_hand() -> None:
    image = grey([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]])
    assert center_crop(image, height=1, width=2)[:, :, 0].tolist() == [[6, 7]]


@pytest.mark.parametrize(
    ("size", "crop", "first"),
    [(5, 2, 2), (7, 2, 2), (9, 2, 4), (4, 3, 0), (6, 3, 2), (5, 5, 0)],  # 1.5, 2.5, 3.5, 0.5, 1.5
)
def test_center_crop_rounds_half_to_even(size: int, crop: int, first: int) -> None:
    image = np.arange(size, dtype=np.uint8).reshape(1, size, 1)
    assert center_crop(image, height=1, width=crop)[0, 0, 0] == first


@pytest.mark.parametrize(("height", "width"), [(5, 2), (2, 5)])
def test_center_crop_beyond_the_image_is_refused(height: int, width: int) -> None:
    message = f"image of 4 x 4 px is smaller than the crop of {width} x {height} px"
    with pytest.raises(InputError, match=message):
        center_crop(picture(4, 4), height=height, width=width)


def test_grayscale_by_hand() -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    # 0.299, 0.587 and 0.114 of 255
    assert grayscale(colours).tolist() == [[[76], [150], [29], [255]]]


def test_grayscale_equals_pillow() -> None:
    image = picture(64, 64)
    wanted = np.asarray(Image.fromarray(image).convert("L"))
    # 1 level: the weights are rounded to 15 bits in one and 16 in the other
    assert np.abs(grayscale(image)[:, :, 0].astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("shape", [(4, 4, 1), (4, 4, 4), (4, 4)])
def test_grayscale_of_no_colour_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="has no three channels"):
        grayscale(np.zeros(shape, np.uint8))


def test_steps_run_in_order() -> None:
    steps: list[Step] = [
        Resize(interpolation="linear_antialias", shortest_side=64),
        CenterCrop(height=56, width=48),
        Grayscale(),
    ]
    image = picture(128, 200)
    wanted = grayscale(center_crop(pillow_bilinear(image, 64, 100), height=56, width=48))
    prepared = preprocess(image, steps)
    assert prepared.shape == (56, 48, 1)
    assert prepared.flags.c_contiguous
    # 1 level of the resizing, 1 of the rounding to grey
    assert np.abs(prepared.astype(int) - wanted).max() <= 2


def test_no_steps_make_no_copy() -> None:
    image = picture(4, 4)
    assert preprocess(image, []) is image
