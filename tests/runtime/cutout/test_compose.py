"""Encoded cut-outs: alpha, colours, backdrops and the limits of the formats."""

import cv2
import numpy as np
import pytest

from runtime.arrays import Image
from runtime.cutout.compose import (
    Backdrop,
    Format,
    blend,
    check_sides,
    compose_strips,
    cover,
    encode,
    limit_side,
    multiply_alpha,
    parse_colour,
)
from runtime.errors import InputError
from tests.runtime.support.cut_outs import noise
from tests.runtime.support.pictures import decode_by_pillow as decode


def compose(image: Image, alpha: Image, backdrop: Backdrop) -> Image:
    return np.concatenate(list(compose_strips(image, alpha, backdrop)))


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
def test_colours_are_parsed(text: str, colour: tuple[int, int, int] | None) -> None:
    assert parse_colour(text) == colour


def test_a_cut_out_has_alpha_and_no_trace_of_the_background() -> None:
    image = np.array([[[10, 20, 30], [200, 100, 50]]], np.uint8)
    alpha = np.array([[0, 129]], np.uint8)
    assert decode(encode(image, alpha, None, "png")).tolist() == [[[0] * 4, [200, 100, 50, 129]]]


def test_the_alpha_of_webp_is_lossless() -> None:
    image, alpha = np.full((40, 50, 3), (200, 60, 10), np.uint8), noise(40, 50)
    pixels = decode(encode(image, alpha, None, "webp"))
    np.testing.assert_array_equal(pixels[:, :, 3], alpha)
    colours = pixels[alpha > 0][:, :3].astype(int)
    assert np.abs(colours - (200, 60, 10)).mean() < 6  # the colours are lossy


def test_blend_is_the_weighted_mean_to_the_nearest_level() -> None:
    image = np.array([[[100, 0, 255]] * 3], np.uint8)
    alpha = np.array([[0, 51, 255]], np.uint8)  # 0, 0.2 and 1
    blended = blend(image, alpha, (200, 10, 0))
    assert blended.tolist() == [[[200, 10, 0], [180, 8, 51], [100, 0, 255]]]


def test_blending_in_strips_equals_blending_at_once() -> None:
    image, alpha = noise(700, 3, 3), noise(700, 3)
    share = alpha[:, :, np.newaxis] / 255
    expected = share * image + (1 - share) * np.array([1, 2, 3])
    # half a level of rounding, and float32 inside against float64 here
    assert np.abs(compose(image, alpha, (1, 2, 3)) - expected).max() <= 0.501


@pytest.mark.parametrize(("form", "tolerance"), [("png", 0), ("jpeg", 3), ("webp", 6)])
def test_pixels_without_foreground_have_the_backdrops_colour(form: Format, tolerance: int) -> None:
    image, alpha = noise(32, 48, 3), np.zeros((32, 48), np.uint8)
    pixels = decode(encode(image, alpha, (255, 128, 0), form))
    assert pixels.shape == (32, 48, 3)
    assert np.abs(pixels.astype(int) - (255, 128, 0)).max() <= tolerance  # jpeg and webp are lossy


def test_jpeg_has_no_transparency() -> None:
    with pytest.raises(InputError, match="JPEG has no transparency; allowed: png, webp, or"):
        encode(noise(2, 2, 3), noise(2, 2), None, "jpeg")


@pytest.mark.parametrize(("form", "side"), [("png", 1_000_000), ("jpeg", 65_500), ("webp", 16_383)])
def test_sides_over_the_limit_of_a_format_are_refused(form: Format, side: int) -> None:
    check_sides(side, 1, form)
    with pytest.raises(InputError, match=f"allowed: sides of {side} px, .* format is {form}"):
        check_sides(1, side + 1, form)


def test_the_middle_of_a_wide_backdrop_covers() -> None:
    backdrop = np.zeros((10, 40, 3), np.uint8)
    backdrop[:, 15:25] = 200
    image = compose(np.zeros((10, 10, 3), np.uint8), np.zeros((10, 10), np.uint8), backdrop)
    assert np.all(image == 200)


@pytest.mark.parametrize(("height", "width"), [(300, 200), (1000, 30), (130, 131)])
def test_a_small_backdrop_is_enlarged_as_opencv_does(height: int, width: int) -> None:
    backdrop = cv2.GaussianBlur(noise(20, 30, 3), (0, 0), 1).astype(np.uint8)
    alpha = np.zeros((height, width), np.uint8)
    image = compose(np.zeros((height, width, 3), np.uint8), alpha, backdrop)
    crop = cover(backdrop, height=height, width=width)
    assert crop.shape[0] <= 20
    expected = cv2.resize(crop, (width, height), interpolation=cv2.INTER_LINEAR)
    # columns are rounded to levels before rows
    assert np.abs(image.astype(int) - expected).max() <= 1


def test_a_large_backdrop_is_shrunk_by_area() -> None:
    checks = np.kron(np.indices((100, 100)).sum(axis=0) % 2, np.ones((4, 4)))
    backdrop = np.repeat((checks * 200).astype(np.uint8)[:, :, np.newaxis], 3, axis=2)
    assert np.all(cover(backdrop, height=50, width=50) == 100)


def test_limit_side_keeps_the_aspect_ratio_and_small_images() -> None:
    image = np.zeros((100, 300, 3), np.uint8)
    image[:, 150:] = 255
    assert limit_side(image, 300) is image
    small = limit_side(image, 30)
    assert small.shape == (10, 30, 3)
    assert small[:, :15].max() == 0
    assert small[:, 15:].min() == 255
    assert limit_side(np.zeros((1, 5000, 3), np.uint8), 100).shape == (1, 100, 3)


def test_alphas_multiply_to_the_nearest_level() -> None:
    first, second = np.array([[0, 128, 255, 200]], np.uint8), np.array([[90, 64, 255, 0]], np.uint8)
    assert multiply_alpha(first, second).tolist() == [[0, 32, 255, 0]]


def test_a_transparent_backdrop_is_composed() -> None:
    image = np.full((1, 4, 3), (200, 100, 0), np.uint8)
    alpha = np.array([[0, 255, 128, 0]], np.uint8)
    backdrop = np.array([[[0, 0, 250, 100]] * 3 + [[7, 7, 7, 0]]], np.uint8)
    pixels = decode(encode(image, alpha, backdrop, "png"))[0]
    assert pixels[0].tolist() == [0, 0, 250, 100]
    assert pixels[1].tolist() == [200, 100, 0, 255]
    share = 128 / 255
    opacity = share + (1 - share) * 100 / 255
    red = share * 200 / opacity
    blue = (1 - share) * 100 / 255 * 250 / opacity
    np.testing.assert_allclose(pixels[2], [red, red / 2, blue, 255 * opacity], atol=1)
    assert pixels[3].tolist() == [0, 0, 0, 0]
    with pytest.raises(InputError, match="JPEG has no transparency; allowed: png, webp, or an op"):
        encode(image, alpha, backdrop, "jpeg")


def test_hidden_colours_of_a_backdrop_do_not_show_when_it_is_scaled() -> None:
    backdrop = np.zeros((2, 40, 4), np.uint8)
    backdrop[:, :20] = (255, 0, 0, 255)
    backdrop[:, 20:] = (0, 255, 0, 0)  # green, which nobody sees
    clear = np.zeros((2, 30), np.uint8)
    pixels = decode(encode(np.zeros((2, 30, 3), np.uint8), clear, backdrop, "png"))
    soft = pixels[pixels[:, :, 3] > 0]
    assert len(soft) >= 30
    assert soft[:, 1].max() <= 2
    assert soft[:, 0].min() >= 253
