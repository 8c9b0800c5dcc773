"""AVIF: decoded as by Pillow, within limits that its headers tell, and refused by name."""

import io
import re
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from runtime.errors import DecodeError, InputError, TooLargeError
from runtime.media.images.decode import decode_photo
from runtime.media.images.headers import read_still
from runtime.media.images.headers.av1 import frame_sizes
from tests.runtime.support.pictures import (
    HEIGHT,
    WIDTH,
    decode_with_pillow,
    encode,
    exif_with_orientation,
    rgb,
    rgba,
)
from tests.runtime.support.profiles import (
    DISPLAY_P3,
    SRGB_CURVE,
    grey_profile,
    matrix_profile,
    parametric,
    table,
)
from tests.support.shared_data import DATA, needs_data

P3 = matrix_profile(DISPLAY_P3, parametric(*SRGB_CURVE))


def avif(picture: Image.Image, **options: Any) -> bytes:
    return encode(picture, "AVIF", **{"quality": 90, **options})


PLAIN = avif(rgb())


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(PLAIN, id="rgb"),
        pytest.param(avif(rgb(), subsampling="4:4:4"), id="444"),
        pytest.param(avif(rgb().convert("L")), id="grey"),
        pytest.param(avif(rgba()), id="alpha"),
        pytest.param(avif(rgb(), save_all=True, append_images=[rgb().rotate(180)]), id="animated"),
        pytest.param(
            avif(rgba(), save_all=True, append_images=[rgba().rotate(180)]), id="animated-alpha"
        ),
    ],
)
def test_pixels_and_alpha_equal_pillow(data: bytes) -> None:
    photo = decode_photo(data, with_alpha=True)
    np.testing.assert_array_equal(photo.pixels, decode_with_pillow(data))
    with Image.open(io.BytesIO(data)) as picture:
        expected = np.asarray(picture.convert("RGBA"))[:, :, 3]
    if photo.alpha is None:
        assert expected.min() == 255
    else:
        np.testing.assert_array_equal(photo.alpha, expected)
        assert expected.min() < 255


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_turn_and_the_mirror_are_applied(orientation: int) -> None:
    data = avif(rgb(), exif=exif_with_orientation(orientation))
    np.testing.assert_array_equal(decode_photo(data).pixels, decode_with_pillow(data))


def test_a_profile_is_converted() -> None:
    patch = Image.new("RGB", (32, 32), (234, 51, 35))  # sRGB's pure red, as Display P3 stores it
    pixels = decode_photo(avif(patch, icc_profile=P3, quality=100)).pixels
    assert np.abs(pixels.astype(int) - (255, 0, 0)).max() <= 6
    grey = decode_photo(avif(patch, icc_profile=grey_profile(table([256])), quality=100))
    assert grey.warnings == ()
    damaged = decode_photo(avif(patch, icc_profile=b"no profile"))
    assert "is damaged" in damaged.warnings[0]


def test_code_points_are_converted() -> None:
    patch = avif(Image.new("RGB", (32, 32), (234, 51, 35)), quality=100)
    place = patch.index(b"colrnclx") + 8
    assert patch[place : place + 4] == b"\0\1\0\x0d"
    data = patch[:place] + b"\0\x0c" + patch[place + 2 :]  # Display P3
    assert np.abs(decode_photo(data).pixels.astype(int) - (255, 0, 0)).max() <= 6


def with_size(data: bytes, width: int, height: int) -> bytes:
    place = data.index(b"ispe") + 8
    return data[:place] + struct.pack(">II", width, height) + data[place + 8 :]


def test_the_size_of_the_description_is_limited() -> None:
    still = read_still(PLAIN, max_pixels=HEIGHT * WIDTH)
    assert (still.format, still.height, still.width) == ("AVIF", HEIGHT, WIDTH)
    with pytest.raises(TooLargeError, match="AVIF of 56 x 40 px; allowed: at most 2239 px"):
        read_still(PLAIN, max_pixels=HEIGHT * WIDTH - 1)
    with pytest.raises(TooLargeError, match="AVIF of 60000 x 60000 px"):
        decode_photo(with_size(PLAIN, 60_000, 60_000))


def test_the_size_of_the_bitstream_is_limited() -> None:
    large = avif(Image.new("RGB", (500, 400)))
    small_claim = with_size(large, 50, 40)
    with pytest.raises(TooLargeError, match="AVIF of 500 x 400 px; allowed: at most 2000 px"):
        decode_photo(small_claim, max_pixels=2000)
    assert decode_photo(small_claim).pixels.shape == (40, 50, 3)  # as libavif scales it


def test_hostile_numbers_of_items_and_units_are_refused() -> None:
    place = PLAIN.index(b"iloc") + 10
    many = PLAIN[:place] + b"\xff\xff" + PLAIN[place + 2 :]
    with pytest.raises(DecodeError, match="the image has 65535 items; allowed: 200"):
        decode_photo(many)
    with pytest.raises(IndexError):
        list(frame_sizes(memoryview(b"\x12\0" * 100_000)))


def test_the_size_of_a_bitstream_is_read() -> None:
    stream = memoryview(PLAIN)[PLAIN.index(b"mdat") + 4 :]
    assert list(frame_sizes(stream)) == [(WIDTH, HEIGHT)]


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1"])
def test_heic_is_refused_by_its_name_and_as_a_grid(brand: bytes) -> None:
    head = struct.pack(">I4s4sI4s", 20, b"ftyp", brand, 0, b"heic")
    entry = b"infe\x02\0\0\0\0\1\0\0grid\0"
    infos = b"iinf\0\0\0\0\0\1" + struct.pack(">I", len(entry) + 4) + entry
    meta = b"meta\0\0\0\0" + struct.pack(">I", len(infos) + 4) + infos
    data = head + struct.pack(">I", len(meta) + 4) + meta
    name = "HEIF" if brand == b"mif1" else "HEIC"
    with pytest.raises(DecodeError, match=f"found {name}, a grid of tiles as phones write it; all"):
        decode_photo(data)
    with pytest.raises(DecodeError, match="HEIC has no description of its picture"):
        decode_photo(head + bytes(60))


def test_an_avif_of_tiles_is_refused() -> None:
    place = PLAIN.index(b"av01Color")
    with pytest.raises(DecodeError, match="AVIF is a grid of tiles; allowed: one picture"):
        decode_photo(PLAIN[:place] + b"grid" + PLAIN[place + 4 :])


def test_a_general_first_brand_is_read() -> None:
    data = PLAIN[:8] + b"mif1" + PLAIN[12:]
    np.testing.assert_array_equal(decode_photo(data).pixels, decode_photo(PLAIN).pixels)


def test_files_cut_off_anywhere_are_refused() -> None:
    for end in range(4, len(PLAIN) - 1, 7):
        with pytest.raises(InputError):
            decode_photo(PLAIN[:end])


def test_damaged_files_are_decoded_or_refused() -> None:
    generator = np.random.default_rng(0)
    data = np.frombuffer(avif(rgba()), np.uint8)
    for _ in range(400):
        damaged = data.copy()
        places = generator.integers(12, data.size, 3)
        damaged[places] = generator.integers(0, 256, 3)
        try:
            photo = decode_photo(damaged.tobytes(), max_pixels=10_000, with_alpha=True)
        except InputError:
            continue
        assert photo.pixels.shape[0] * photo.pixels.shape[1] <= 10_000


@needs_data
def test_real_files_equal_pillow() -> None:
    folder = DATA / "badmedia" / "pillow" / "avif"
    equal = 0
    for path in sorted(folder.glob("*.avif")):
        data = path.read_bytes()
        if re.match("xmp", path.name):  # an orientation in XMP alone is not applied
            continue
        with Image.open(io.BytesIO(data)) as picture:
            expected = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
        np.testing.assert_array_equal(decode_photo(data).pixels, expected)
        equal += 1
    assert equal >= 7
