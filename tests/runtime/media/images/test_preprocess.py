"""The steps of a spec, compared with results worked out by hand, Pillow and ultralytics."""

from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from runtime.artifact.manifest import CenterCrop, Grayscale, Letterbox, Resize, Step
from runtime.artifact.steps import Interpolation
from runtime.errors import InputError
from runtime.media.images import resize as resizing
from runtime.media.images.preprocess import center_crop, grayscale, letterbox, preprocess
from tests.runtime.support.pictures import grey, noise, pillow_bilinear


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
    assert preprocess(noise(*source), [step]).shape == (*expected, 3)


@pytest.mark.parametrize("shape", [(1, 51), (51, 1), (1, 5000), (20000, 2), (0, 5)])
def test_shortest_side_of_a_strip_is_refused(shape: tuple[int, int]) -> None:
    step = Resize(interpolation="linear_antialias", shortest_side=256)
    message = f"image of {shape[1]} x {shape[0]} px is too narrow; allowed: sides of at most 50 : 1"
    with pytest.raises(InputError, match=message):
        preprocess(np.zeros((*shape, 3), np.uint8), [step])


def test_letterbox_by_hand() -> None:
    # 4 x 2 px into 5 x 3: scale 1.25, 2.5 rounds to even; of the odd rest, the larger part is below
    image = np.full((2, 4, 1), 9, np.uint8)
    fitted = letterbox(image, Letterbox(height=5, width=5, interpolation="linear", fill=7))
    assert fitted[:, :, 0].tolist() == [[7] * 5, [9] * 5, [9] * 5, [7] * 5, [7] * 5]


def test_letterbox_to_the_top_left() -> None:
    image = np.full((4, 2, 3), 9, np.uint8)
    step = Letterbox(height=4, width=6, interpolation="linear", align="top_left")
    fitted = letterbox(image, step)
    assert fitted.shape == (4, 6, 3)
    assert (fitted[:, :2] == 9).all()
    assert (fitted[:, 2:] == 114).all()


@pytest.mark.parametrize(("enlarge", "filled"), [(True, 64), (False, 4)])
def test_letterbox_enlarges_unless_the_step_forbids_it(enlarge: bool, filled: int) -> None:
    image = np.full((2, 2, 3), 9, np.uint8)
    step = Letterbox(height=8, width=8, interpolation="linear", enlarge=enlarge)
    fitted = letterbox(image, step)
    assert (fitted == 9).all(axis=2).sum() == filled
    assert (fitted[3:5, 3:5] == 9).all()


@pytest.mark.parametrize(
    "source",
    [(480, 640), (667, 1000), (1000, 667), (333, 501), (33, 50), (640, 640), (1, 3000), (3000, 7)],
)
def test_letterbox_equals_that_of_ultralytics(source: tuple[int, int]) -> None:
    image = noise(*source)
    height, width = source
    ratio = min(320 / height, 416 / width)
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    x, y = (416 - size[0]) / 2, (320 - size[1]) / 2
    top, bottom, left, right = (round(v) for v in (y - 0.1, y + 0.1, x - 0.1, x + 0.1))
    scaled = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    grey_114 = (114, 114, 114)
    expected = cv2.copyMakeBorder(
        scaled, top, bottom, left, right, cv2.BORDER_CONSTANT, value=grey_114
    )
    step = Letterbox(height=320, width=416, interpolation="linear")
    np.testing.assert_array_equal(preprocess(image, [step]), expected)


def test_letterbox_of_an_empty_image_is_refused() -> None:
    step = Letterbox(height=8, width=8, interpolation="linear")
    with pytest.raises(InputError, match="image of 5 x 0 px; allowed: sides of at least 1 px"):
        preprocess(np.zeros((0, 5, 3), np.uint8), [step])


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
        center_crop(noise(4, 4), height=height, width=width)


def test_grayscale_by_hand() -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    # 0.299, 0.587 and 0.114 of 255
    assert grayscale(colours).tolist() == [[[76], [150], [29], [255]]]


def test_grayscale_equals_pillow() -> None:
    image = noise(64, 64)
    expected = np.asarray(Image.fromarray(image).convert("L"))
    # 1 level: the weights are rounded to 15 bits in one and 16 in the other
    assert np.abs(grayscale(image)[:, :, 0].astype(int) - expected).max() <= 1


@pytest.mark.parametrize("shape", [(4, 4, 1), (4, 4, 4), (4, 4)])
def test_grayscale_without_three_channels_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="has no three channels"):
        grayscale(np.zeros(shape, np.uint8))


def test_steps_run_in_order() -> None:
    steps: list[Step] = [
        Resize(interpolation="linear_antialias", shortest_side=64),
        CenterCrop(height=56, width=48),
        Grayscale(),
    ]
    image = noise(128, 200)
    expected = grayscale(center_crop(pillow_bilinear(image, 64, 100), height=56, width=48))
    prepared = preprocess(image, steps)
    assert prepared.shape == (56, 48, 1)
    assert prepared.flags.c_contiguous
    # 1 level of the resizing, 1 of the rounding to grey
    assert np.abs(prepared.astype(int) - expected).max() <= 2


@pytest.mark.parametrize(
    "interpolation", ["linear", "linear_antialias", "pil_bilinear", "pil_bicubic"]
)
@pytest.mark.parametrize("source", [(97, 131), (131, 97), (64, 90), (30, 70), (64, 70), (300, 90)])
@pytest.mark.parametrize("crop", [(64, 64), (57, 50), (1, 64), (64, 3)])
def test_a_crop_after_resizing_equals_the_middle_of_all(
    interpolation: Interpolation, source: tuple[int, int], crop: tuple[int, int]
) -> None:
    image = noise(*source)
    step = Resize(interpolation, height=64, width=70)
    cropped = preprocess(image, [step, CenterCrop(*crop), Grayscale()])
    whole = preprocess(image, [step])
    expected = grayscale(center_crop(whole, height=crop[0], width=crop[1]))
    np.testing.assert_array_equal(cropped, expected)


def test_a_crop_of_more_than_was_resized_is_refused() -> None:
    steps: list[Step] = [
        Resize("linear_antialias", shortest_side=8),
        CenterCrop(height=8, width=12),
    ]
    with pytest.raises(InputError, match="image of 9 x 8 px is smaller than the crop of 12 x 8 px"):
        preprocess(noise(16, 18), steps)


@pytest.mark.parametrize("interpolation", ["linear_antialias", "pil_bilinear", "pil_bicubic"])
@pytest.mark.parametrize("source", [(100, 200), (300, 90)])
def test_pixels_that_a_crop_cuts_off_are_not_computed(
    interpolation: Interpolation, source: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    weigh = resizing._weigh_rows

    def counting(*arguments: Any, out: np.ndarray) -> None:
        rows.append(len(out))
        weigh(*arguments, out=out)

    monkeypatch.setattr(resizing, "_weigh_rows", counting)
    steps: list[Step] = [
        Resize(interpolation, height=64, width=80),
        CenterCrop(height=40, width=24),
    ]
    preprocess(noise(*source), steps)
    assert sorted(rows) == [24, 40]


def test_no_steps_return_the_same_array() -> None:
    image = noise(4, 4)
    assert preprocess(image, []) is image
