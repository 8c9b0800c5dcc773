import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.errors import InputError
from serve.compose import Background, blend, compose, limit_side, parse_background, scale_alpha
from tests.serve.conftest import half_white


def decode(data: bytes) -> NDArray[np.uint8]:
    """As stored: BGR or BGRA."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    return np.asarray(pixels, np.uint8)


@pytest.mark.parametrize("text", ["#1a2B3c", "1a2b3c"])
def test_six_digits(text: str) -> None:
    assert parse_background({"color": text}) == Background((0x1A, 0x2B, 0x3C), "png")


def test_three_digits_are_doubled() -> None:
    assert parse_background({"color": "#f80", "format": "JPG"}) == Background((255, 136, 0), "jpeg")


def test_no_option_is_transparency() -> None:
    assert parse_background({}) == Background(None, "png")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"color": "red"}, "color is 'red'; allowed: #rrggbb or #rgb"),
        ({"color": "#12345"}, "color is '#12345'"),
        ({"color": ""}, "color is ''"),
        ({"color": "#١٢٣"}, "color is "),
        ({"color": "#fff\n"}, "color is "),
        ({"format": "webp"}, "format is 'webp'; allowed: png, jpeg"),
        ({"format": "jpeg"}, "JPEG has no transparency; allowed: png, or jpeg with color"),
    ],
)
def test_options_that_are_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_background(options)


def test_a_cut_out_keeps_colours_and_carries_alpha() -> None:
    image = np.array([[[10, 20, 30], [200, 100, 50]]], np.uint8)
    alpha = np.array([[0, 129]], np.uint8)
    pixels = decode(compose(image, alpha, Background()))
    assert pixels.tolist() == [[[30, 20, 10, 0], [50, 100, 200, 129]]]


def test_blend_is_the_weighted_mean_to_the_nearest_level() -> None:
    image = np.array([[[100, 0, 255]] * 3], np.uint8)
    alpha = np.array([[0, 51, 255]], np.uint8)  # 0, 0.2 and 1
    blended = blend(image, alpha, (200, 10, 0))
    assert blended.tolist() == [[[200, 10, 0], [180, 8, 51], [100, 0, 255]]]


def test_blend_of_many_rows() -> None:
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (700, 3, 3), np.uint8)
    alpha = generator.integers(0, 256, (700, 3), np.uint8)
    share = alpha[:, :, np.newaxis] / 255
    expected = share * image + (1 - share) * np.array([1, 2, 3])
    # half a level of rounding, and float32 inside against float64 here
    assert np.abs(blend(image, alpha, (1, 2, 3)) - expected).max() <= 0.501


def test_a_colour_stands_where_alpha_is_zero() -> None:
    image, alpha = half_white(), np.zeros((32, 48), np.uint8)
    png = decode(compose(image, alpha, Background((255, 128, 0))))
    assert png.shape == (32, 48, 3)
    assert np.all(png == (0, 128, 255))
    jpeg = compose(image, alpha, Background((255, 128, 0), "jpeg"))
    assert jpeg.startswith(b"\xff\xd8\xff")
    assert np.abs(decode(jpeg).astype(int) - (0, 128, 255)).max() <= 3  # JPEG's own rounding


def test_limit_side_keeps_the_ratio_and_small_images() -> None:
    image = half_white(height=100, width=300)
    assert limit_side(image, 300) is image
    small = limit_side(image, 30)
    assert small.shape == (10, 30, 3)
    assert small[:, :15].max() == 0
    assert small[:, 15:].min() == 255
    assert limit_side(np.zeros((1, 5000, 3), np.uint8), 100).shape == (1, 100, 3)


def test_scale_alpha() -> None:
    alpha = np.array([[0.0, 0.5, 1.0]], np.float32)
    assert scale_alpha(alpha, height=1, width=3).tolist() == [[0, 128, 255]]
    scaled = scale_alpha(alpha, height=4, width=300)
    assert scaled.shape == (4, 300)
    assert (scaled[0, 0], scaled[0, -1]) == (0, 255)
    expected = cv2.resize(alpha, (300, 4), interpolation=cv2.INTER_LINEAR) * 255
    assert np.abs(scaled - expected).max() <= 1.0  # one level, as scale_alpha says
