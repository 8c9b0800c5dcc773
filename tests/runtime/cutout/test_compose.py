import io

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from runtime.cutout.compose import (
    Backdrop,
    Format,
    blend,
    check_sides,
    composed,
    cover,
    encode,
    limit_side,
    parse_colour,
)
from runtime.cutout.png import encode_png
from runtime.errors import InputError

Pixels = NDArray[np.uint8]


def noise(*shape: int) -> Pixels:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, np.uint8)


def decode(data: bytes) -> Pixels:
    """By Pillow, another reader than the encoders' own."""
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        return np.asarray(picture)


def whole(image: Pixels, alpha: Pixels, behind: Backdrop) -> Pixels:
    return np.concatenate(list(composed(image, alpha, behind)))


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("#1a2B3c", (0x1A, 0x2B, 0x3C)),
        ("1a2b3c", (0x1A, 0x2B, 0x3C)),
        ("#f80", (255, 136, 0)),
        ("red", None),
        ("#12345", None),
        ("", None),
        ("#١٢٣", None),
        ("#fff\n", None),
    ],
)
def test_colours(text: str, colour: tuple[int, int, int] | None) -> None:
    assert parse_colour(text) == colour


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (64, 9), (200, 7)])
@pytest.mark.parametrize("channels", [3, 4])
def test_png_by_strips_is_read_back(shape: tuple[int, int], channels: int) -> None:
    pixels = noise(*shape, channels)
    strips = (pixels[top : top + 64] for top in range(0, shape[0], 64))
    data = encode_png(strips, height=shape[0], width=shape[1], channels=channels)
    np.testing.assert_array_equal(decode(data), pixels)
    by_opencv = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert by_opencv is not None
    order = [2, 1, 0, 3][:channels]
    np.testing.assert_array_equal(by_opencv[:, :, order], pixels)


def test_a_png_with_a_row_missing_is_not_written() -> None:
    with pytest.raises(ValueError, match="strips of 3 rows; allowed: 4"):
        encode_png([noise(3, 2, 3)], height=4, width=2, channels=3)


def test_a_cut_out_carries_alpha_and_hides_what_was_removed() -> None:
    image = np.array([[[10, 20, 30], [200, 100, 50]]], np.uint8)
    alpha = np.array([[0, 129]], np.uint8)
    assert decode(encode(image, alpha, None, "png")).tolist() == [[[0] * 4, [200, 100, 50, 129]]]


def test_webp_keeps_alpha_as_it_is() -> None:
    image, alpha = np.full((40, 50, 3), (200, 60, 10), np.uint8), noise(40, 50)
    pixels = decode(encode(image, alpha, None, "webp"))
    np.testing.assert_array_equal(pixels[:, :, 3], alpha)
    seen = pixels[alpha > 0][:, :3].astype(int)
    assert np.abs(seen - (200, 60, 10)).mean() < 6  # lossy colours


def test_blend_is_the_weighted_mean_to_the_nearest_level() -> None:
    image = np.array([[[100, 0, 255]] * 3], np.uint8)
    alpha = np.array([[0, 51, 255]], np.uint8)  # 0, 0.2 and 1
    blended = blend(image, alpha, (200, 10, 0))
    assert blended.tolist() == [[[200, 10, 0], [180, 8, 51], [100, 0, 255]]]


def test_blending_in_strips_is_blending() -> None:
    image, alpha = noise(700, 3, 3), noise(700, 3)
    share = alpha[:, :, np.newaxis] / 255
    expected = share * image + (1 - share) * np.array([1, 2, 3])
    # half a level of rounding, and float32 inside against float64 here
    assert np.abs(whole(image, alpha, (1, 2, 3)) - expected).max() <= 0.501


@pytest.mark.parametrize(("form", "tolerance"), [("png", 0), ("jpeg", 3), ("webp", 6)])
def test_a_colour_stands_where_alpha_is_zero(form: Format, tolerance: int) -> None:
    image, alpha = noise(32, 48, 3), np.zeros((32, 48), np.uint8)
    pixels = decode(encode(image, alpha, (255, 128, 0), form))
    assert pixels.shape == (32, 48, 3)
    assert np.abs(pixels.astype(int) - (255, 128, 0)).max() <= tolerance  # lossy, in their colours


def test_jpeg_has_no_transparency() -> None:
    with pytest.raises(InputError, match="JPEG has no transparency; allowed: png, webp, or"):
        encode(noise(2, 2, 3), noise(2, 2), None, "jpeg")


@pytest.mark.parametrize(("form", "side"), [("png", 1_000_000), ("jpeg", 65_500), ("webp", 16_383)])
def test_sides_of_the_formats(form: Format, side: int) -> None:
    check_sides(side, 1, form)
    with pytest.raises(InputError, match=f"allowed: sides of {side} px, .* format is {form}"):
        check_sides(1, side + 1, form)


def test_the_middle_of_a_wide_picture_covers() -> None:
    behind = np.zeros((10, 40, 3), np.uint8)
    behind[:, 15:25] = 200
    seen = whole(np.zeros((10, 10, 3), np.uint8), np.zeros((10, 10), np.uint8), behind)
    assert np.all(seen == 200)


@pytest.mark.parametrize(("height", "width"), [(300, 200), (1000, 30), (130, 131)])
def test_a_small_picture_is_enlarged_as_opencv_does(height: int, width: int) -> None:
    behind = cv2.GaussianBlur(noise(20, 30, 3), (0, 0), 1).astype(np.uint8)
    alpha = np.zeros((height, width), np.uint8)
    found = whole(np.zeros((height, width, 3), np.uint8), alpha, behind)
    part = cover(behind, height=height, width=width)
    assert part.shape[0] <= 20
    expected = cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)
    # columns are rounded to levels before rows
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_a_large_picture_is_shrunk_by_areas() -> None:
    checks = np.kron(np.indices((100, 100)).sum(axis=0) % 2, np.ones((4, 4)))
    behind = np.repeat((checks * 200).astype(np.uint8)[:, :, np.newaxis], 3, axis=2)
    assert np.all(cover(behind, height=50, width=50) == 100)


def test_limit_side_keeps_the_ratio_and_small_images() -> None:
    image = np.zeros((100, 300, 3), np.uint8)
    image[:, 150:] = 255
    assert limit_side(image, 300) is image
    small = limit_side(image, 30)
    assert small.shape == (10, 30, 3)
    assert small[:, :15].max() == 0
    assert small[:, 15:].min() == 255
    assert limit_side(np.zeros((1, 5000, 3), np.uint8), 100).shape == (1, 100, 3)
