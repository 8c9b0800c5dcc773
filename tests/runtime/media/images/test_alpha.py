"""The alpha of decoded images, compared with Pillow's."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from runtime.errors import DecodeError
from runtime.media.images.decode import decode_photo
from tests.runtime.support.pictures import (
    HEIGHT,
    WIDTH,
    encode,
    exif_with_orientation,
    raw_png,
    rgb,
    rgba,
)
from tests.support.shared_data import CASES, needs_data

GREY = Image.fromarray(np.asarray(rgb().convert("L")) // 16 * 16)
PALETTE = rgb().quantize(16)
ALPHAS = bytes(range(0, 160, 10))


def alpha_by_pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(ImageOps.exif_transpose(picture).convert("RGBA"))[:, :, 3]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encode(rgba(), "PNG"), id="png"),
        pytest.param(encode(rgba(), "PNG", exif=exif_with_orientation(6)), id="png-turned"),
        pytest.param(encode(rgba().convert("LA"), "PNG"), id="png-grey-alpha"),
        pytest.param(encode(PALETTE, "PNG", transparency=3), id="png-palette"),
        pytest.param(encode(PALETTE, "PNG", transparency=ALPHAS), id="png-palette-of-alphas"),
        pytest.param(encode(rgb(), "PNG", transparency=(0, 0, 255)), id="png-colour"),
        pytest.param(encode(GREY, "PNG", transparency=112), id="png-grey-level"),
        pytest.param(encode(rgb().convert("1"), "PNG", transparency=0), id="png-bilevel"),
        pytest.param(encode(rgba(), "WEBP"), id="webp"),
        pytest.param(encode(rgba(), "WEBP", exif=exif_with_orientation(3)), id="webp-turned"),
        pytest.param(encode(rgba(), "WEBP", lossless=True), id="webp-lossless"),
        pytest.param(
            encode(rgba(), "WEBP", save_all=True, append_images=[rgb()]), id="webp-animated"
        ),
        pytest.param(encode(PALETTE, "GIF", transparency=3), id="gif"),
        pytest.param(encode(PALETTE, "GIF", transparency=3, interlace=1), id="gif-interlaced"),
    ],
)
def test_alpha_equals_pillow(data: bytes) -> None:
    photo = decode_photo(data, with_alpha=True)
    expected = alpha_by_pillow(data)
    assert photo.alpha is not None
    np.testing.assert_array_equal(photo.alpha, expected)
    assert photo.pixels.shape[:2] == expected.shape
    np.testing.assert_array_equal(photo.pixels, decode_photo(data).pixels)


def test_alpha_of_16_bits_is_its_high_byte() -> None:
    samples = np.zeros((2, 3, 4), np.uint16)
    samples[:, :, 3] = [[0, 0x8080, 0xFFFF]] * 2
    photo = decode_photo(raw_png(samples, colour_type=6, bits=16), with_alpha=True)
    assert photo.alpha is not None
    assert photo.alpha.tolist() == [[0, 128, 255]] * 2


@pytest.mark.parametrize(
    "picture", [rgb(), rgb().convert("RGBA"), GREY, rgb().quantize(8)], ids=lambda p: p.mode
)
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP"])
def test_an_opaque_image_has_no_alpha(kind: str, picture: Image.Image) -> None:
    assert decode_photo(encode(picture, kind), with_alpha=True).alpha is None


def test_alpha_is_decoded_only_on_request() -> None:
    assert decode_photo(encode(rgba(), "PNG")).alpha is None


def test_corrupt_alpha_of_a_webp_is_refused() -> None:
    data = encode(rgba(), "WEBP")
    start = data.index(b"ALPH") + 8
    with pytest.raises(DecodeError, match="WebP has alpha that is truncated or corrupt"):
        decode_photo(data[:start] + b"\xff" * 12 + data[start + 12 :], with_alpha=True)


@needs_data
def test_the_right_half_of_the_case_is_erased() -> None:
    photo = decode_photo((CASES / "right-half-erased.png").read_bytes(), with_alpha=True)
    assert photo.alpha is not None
    assert np.all(photo.alpha[:, :32] == 255)
    assert np.all(photo.alpha[:, 32:] == 0)


def test_sizes_are_those_of_the_pictures() -> None:
    assert decode_photo(encode(rgba(), "PNG"), with_alpha=True).pixels.shape == (HEIGHT, WIDTH, 3)
