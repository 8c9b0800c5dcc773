"""Decoded images, compared with Pillow and with arrays worked out by hand; what is refused."""

import random
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageCms import ImageCmsProfile, createProfile

from runtime.errors import DecodeError, InputError, SlipwayError
from runtime.media.images.decode import decode_image
from runtime.media.images.headers import Still
from tests.runtime.support.pictures import (
    HEIGHT,
    WIDTH,
    decode_with_pillow,
    encode,
    exif_with_orientation,
    raw_bmp,
    raw_png,
    rgb,
    rgba,
)
from tests.support.shared_data import DATA, needs_data

JPEGS = Path(__file__).parents[3] / "data" / "jpeg"
GREY = rgb().convert("L")
PALETTE = rgb().quantize(64)
BILEVEL = rgb().convert("1")
ROTATED = [rgba().rotate(180), rgba()]
GREY_16 = np.arange(64 * 32, dtype=np.uint16).reshape(32, 64) * 31


def assert_equals_pillow(data: bytes, *, tolerance: int = 0) -> None:
    """Check that no pixel differs from Pillow's by more levels than the tolerance.

    It is 0 for JPEG too, as OpenCV and Pillow use the same libjpeg-turbo.
    """
    image, expected = decode_image(data), decode_with_pillow(data)
    assert image.dtype == np.uint8
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "options"),
    [("JPEG", {}), ("PNG", {}), ("WEBP", {}), ("WEBP", {"lossless": True})],
)
def test_orientation_is_applied(kind: str, options: dict[str, bool], orientation: int) -> None:
    data = encode(rgb(), kind, exif=exif_with_orientation(orientation), **options)
    assert_equals_pillow(data)


def test_orientation_6_turns_a_row_into_a_column() -> None:
    picture = Image.fromarray(np.array([[[9, 9, 9], [90, 90, 90]]], np.uint8))
    decoded = decode_image(encode(picture, "PNG", exif=exif_with_orientation(6)))
    assert decoded[:, :, 0].tolist() == [[9], [90]]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encode(rgb(), "JPEG"), id="jpeg"),
        pytest.param(encode(rgb(), "JPEG", progressive=True), id="jpeg-progressive"),
        pytest.param(encode(rgb(), "JPEG", subsampling=0, quality=100), id="jpeg-444"),
        pytest.param(encode(rgb(), "JPEG", keep_rgb=True), id="jpeg-rgb"),
        pytest.param(encode(GREY, "JPEG"), id="jpeg-grey"),
        pytest.param(encode(rgb(), "JPEG") + b"trailing bytes", id="jpeg-trailing"),
        pytest.param(encode(rgb(), "PNG"), id="png"),
        pytest.param(encode(rgba(), "PNG"), id="png-alpha"),
        pytest.param(encode(GREY, "PNG"), id="png-grey"),
        pytest.param(encode(rgba().convert("LA"), "PNG"), id="png-grey-alpha"),
        pytest.param(encode(PALETTE, "PNG"), id="png-palette"),
        pytest.param(encode(rgb().quantize(2), "PNG", bits=1), id="png-palette-1-bit"),
        pytest.param(encode(PALETTE, "PNG", transparency=3), id="png-palette-transparent"),
        pytest.param(encode(rgb(), "PNG", transparency=(0, 0, 255)), id="png-transparent-colour"),
        pytest.param(encode(BILEVEL, "PNG"), id="png-bilevel"),
        pytest.param(encode(rgb(), "PNG", save_all=True, append_images=[rgba()]), id="apng"),
        pytest.param(
            # OpenCV alone shows the second of the two frames
            encode(rgb(), "PNG", save_all=True, append_images=ROTATED, default_image=True),
            id="apng-default-image",
        ),
        pytest.param(encode(rgb(), "WEBP"), id="webp"),
        pytest.param(encode(rgba(), "WEBP"), id="webp-alpha"),
        pytest.param(encode(rgba(), "WEBP", lossless=True, exact=True), id="webp-lossless-alpha"),
        pytest.param(
            encode(rgb(), "WEBP", save_all=True, append_images=[GREY]), id="webp-animated"
        ),
        pytest.param(encode(rgb(), "BMP"), id="bmp"),
        pytest.param(encode(rgba(), "BMP"), id="bmp-alpha"),
        pytest.param(encode(PALETTE, "BMP"), id="bmp-palette"),
        pytest.param(encode(BILEVEL, "BMP"), id="bmp-bilevel"),
        pytest.param(encode(PALETTE, "GIF"), id="gif"),
        pytest.param(encode(PALETTE, "GIF", interlace=1), id="gif-interlaced"),
        pytest.param(encode(PALETTE, "GIF", transparency=3), id="gif-transparent"),
        pytest.param(encode(GREY, "GIF"), id="gif-grey"),
        pytest.param(
            encode(PALETTE, "GIF", save_all=True, append_images=[rgb().quantize(8)]),
            id="gif-animated",
        ),
    ],
)
def test_equals_pillow(data: bytes) -> None:
    assert_equals_pillow(data)


def _plain(data: bytes) -> bytes:
    return data


def _ycck(data: bytes) -> bytes:
    transform = data.index(b"Adobe") + 11
    return data[:transform] + b"\2" + data[transform + 1 :]


def _without_adobe(data: bytes) -> bytes:
    name = data.index(b"Adobe")
    length = int.from_bytes(data[name - 2 : name], "big")
    return data[: name - 4] + data[name - 2 + length :]


@pytest.mark.parametrize("edit", [_plain, _ycck, _without_adobe])
def test_cmyk_jpeg(edit: Callable[[bytes], bytes]) -> None:
    # 1: the two round the product of ink and black differently
    assert_equals_pillow(edit(encode(rgb().convert("CMYK"), "JPEG")), tolerance=1)


@pytest.mark.parametrize("coding", ["arithmetic", "arithmetic-progressive"])
@pytest.mark.parametrize("name", ["colour", "grey", "cmyk"])
def test_arithmetic_jpeg_equals_its_huffman_twin(name: str, coding: str) -> None:
    data = (JPEGS / f"{name}-{coding}.jpg").read_bytes()
    frame = {"arithmetic": b"\xff\xc9", "arithmetic-progressive": b"\xff\xca"}[coding]
    assert frame in data  # SOF9, SOF10
    twin = decode_image((JPEGS / f"{name}.jpg").read_bytes())
    assert twin.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(decode_image(data), twin)  # the same coefficients: no tolerance
    assert_equals_pillow(data, tolerance=1 if name == "cmyk" else 0)


def test_arithmetic_jpeg_is_turned_upright() -> None:
    data = (JPEGS / "colour-arithmetic.jpg").read_bytes()
    exif = exif_with_orientation(6)
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    turned = decode_image(data[:2] + segment + data[2:])
    np.testing.assert_array_equal(turned, np.rot90(decode_image(data), k=-1))


def test_lossless_jpeg() -> None:
    data = (JPEGS / "colour-lossless.jpg").read_bytes()
    np.testing.assert_array_equal(decode_image(data), np.asarray(rgb())[:16, :16])
    assert_equals_pillow(data)


def test_16_bit_grey_becomes_its_high_byte() -> None:
    decoded = decode_image(encode(Image.fromarray(GREY_16), "PNG"))
    np.testing.assert_array_equal(decoded, np.repeat((GREY_16 >> 8)[:, :, np.newaxis], 3, axis=2))


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_png_of_every_colour_type_is_its_high_byte(
    colour_type: int, channels: int, bits: int, *, interlaced: bool
) -> None:
    levels = np.random.default_rng(bits).integers(0, 1 << bits, (21, 13, channels))
    data = raw_png(levels, colour_type=colour_type, bits=bits, interlaced=interlaced)
    high = (levels >> bits - 8).astype(np.uint8)
    expected = high[..., :3] if channels >= 3 else np.repeat(high[..., :1], 3, axis=2)
    np.testing.assert_array_equal(decode_image(data), expected)
    assert_equals_pillow(data)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_1_2_and_4_bits_of_grey_and_of_a_transparent_palette(
    bits: int, *, interlaced: bool
) -> None:
    generator = np.random.default_rng(bits)
    levels = generator.integers(0, 1 << bits, (9, 13, 1))
    data = raw_png(levels, colour_type=0, bits=bits, interlaced=interlaced)
    expected = np.repeat(levels * (255 // ((1 << bits) - 1)), 3, axis=2)
    np.testing.assert_array_equal(decode_image(data), expected)
    assert_equals_pillow(data)
    palette = generator.integers(0, 256, (1 << bits, 3)).astype(np.uint8)
    alphas = generator.integers(0, 256, 1 << bits).astype(np.uint8)
    extra = ((b"PLTE", palette.tobytes()), (b"tRNS", alphas.tobytes()))
    data = raw_png(levels, colour_type=3, bits=bits, interlaced=interlaced, extra=extra)
    np.testing.assert_array_equal(decode_image(data), palette[levels[..., 0]])
    assert_equals_pillow(data)


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(((b"gAMA", (100_000).to_bytes(4, "big")),), id="gamma"),
        pytest.param(((b"sRGB", b"\0"), (b"gAMA", (45_455).to_bytes(4, "big"))), id="srgb"),
        pytest.param(((b"cICP", bytes([9, 16, 0, 1])),), id="hdr"),
        pytest.param(((b"sBIT", bytes([5, 6, 5])), (b"bKGD", bytes(6))), id="bits-background"),
        pytest.param(
            ((b"iCCP", b"p\0\0" + zlib.compress(ImageCmsProfile(createProfile("LAB")).tobytes())),),
            id="profile",
        ),
    ],
)
def test_gamma_and_profiles_of_a_png_change_no_pixel(
    extra: tuple[tuple[bytes, bytes], ...],
) -> None:
    levels = np.asarray(rgb())
    data = raw_png(levels, colour_type=2, bits=8, extra=extra)
    np.testing.assert_array_equal(decode_image(data), levels)
    assert_equals_pillow(data)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_webp_lossless_with_alpha_is_turned_upright(orientation: int) -> None:
    exif = exif_with_orientation(orientation)
    assert_equals_pillow(encode(rgba(), "WEBP", lossless=True, exact=True, exif=exif))


@pytest.mark.parametrize("orientation", [1, 6])
def test_webp_frame_on_a_larger_canvas_has_a_black_margin(orientation: int) -> None:
    options = {"save_all": True, "append_images": [GREY], "lossless": True}
    data = bytearray(encode(rgb(), "WEBP", exif=exif_with_orientation(orientation), **options))
    data[24:30] = (79).to_bytes(3, "little") + (59).to_bytes(3, "little")  # 80 x 60 px
    at = data.index(b"ANMF") + 8
    data[at : at + 6] = (4).to_bytes(3, "little") + (3).to_bytes(3, "little")  # in pairs of px
    image = decode_image(bytes(data))
    expected = np.zeros((60, 80, 3), np.uint8)
    expected[6 : 6 + 40, 8 : 8 + 56] = np.asarray(rgb())
    turned = np.rot90(expected, k=-1) if orientation == 6 else expected
    np.testing.assert_array_equal(image, turned)
    assert_equals_pillow(bytes(data))


def test_alpha_is_dropped_and_not_flattened() -> None:
    picture = rgba()
    picture.putalpha(0)  # all transparent: the stored colours remain
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True})):
        image = decode_image(encode(picture, kind, **options))
        np.testing.assert_array_equal(image, np.asarray(rgb()))


def test_disposal_and_later_frames_of_a_gif_change_nothing() -> None:
    frames = [rgb().rotate(180).quantize(8), GREY.quantize(4)]
    first = decode_image(encode(PALETTE, "GIF"))
    for disposal in (0, 1, 2, 3):
        data = encode(PALETTE, "GIF", save_all=True, append_images=frames, disposal=disposal)
        np.testing.assert_array_equal(decode_image(data), first)


@pytest.mark.parametrize("options", [{}, {"transparency": 9}])
def test_gif_frame_on_a_larger_screen(options: dict[str, int]) -> None:
    data = bytearray(encode(PALETTE, "GIF", **options))
    data[6:10] = bytes([80, 0, 60, 0])  # width, height
    at = data.index(b"\x2c\0\0\0\0")
    data[at + 1 : at + 5] = bytes([7, 0, 5, 0])  # left, top
    assert_equals_pillow(bytes(data))
    assert decode_image(bytes(data)).shape == (60, 80, 3)


def test_gif_frame_beyond_its_screen() -> None:
    data = bytearray(encode(PALETTE, "GIF"))
    data[6:10] = bytes([8, 0, 8, 0])
    assert_equals_pillow(bytes(data))


def test_gif_index_beyond_its_palette() -> None:
    data = encode(rgb().quantize(4), "GIF")
    size = 3 << (data[10] & 7) + 1
    halved = bytes([data[10] - 1]), data[13 : 13 + size // 2]
    edited = data[:10] + halved[0] + data[11:13] + halved[1] + data[13 + size :]
    assert {tuple(p) for p in decode_image(edited).reshape(-1, 3)} >= {(0, 0, 0)}


def test_16_bit_bmp() -> None:
    # 5 bits each: 31 is 255 and 16 is 131 (16 * 255 / 31), which OpenCV alone makes 248 and 128
    header = b"BM" + (58).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
    info = b"".join(n.to_bytes(4, "little") for n in (40, 2, 1, 1 | 16 << 16, 0, 4, 0, 0, 0, 0))
    pixels = (31 << 10 | 16).to_bytes(2, "little") + (16 << 5).to_bytes(2, "little")
    assert decode_image(header + info + pixels).tolist() == [[[255, 0, 131], [0, 131, 0]]]


def test_16_bit_bmp_of_five_six_and_five_bits() -> None:
    words = np.random.default_rng(0).integers(0, 1 << 16, (5, 6))  # rows of 12 bytes: no padding
    rows = words.astype("<u2").tobytes()
    masks = (0xF800, 0x07E0, 0x001F)
    data = raw_bmp(rows, height=-5, width=6, bits=16, compression=3, masks=masks)
    channels = (words >> 11, words >> 5 & 63, words & 31)
    expected = np.stack([c * 255 // top for c, top in zip(channels, (31, 63, 31), strict=True)], 2)
    np.testing.assert_array_equal(decode_image(data), expected)
    assert_equals_pillow(data)


@pytest.mark.parametrize("bits", [24, 32])
def test_bmp_from_top_to_bottom(bits: int) -> None:
    stored = np.random.default_rng(0).integers(0, 256, (5, 4, bits // 8)).astype(np.uint8)
    expected = stored[..., 2::-1]  # stored as blue, green, red
    upright = raw_bmp(stored.tobytes(), height=-5, width=4, bits=bits)
    upside_down = raw_bmp(stored[::-1].tobytes(), height=5, width=4, bits=bits)
    for data in (upright, upside_down):
        np.testing.assert_array_equal(decode_image(data), expected)
        assert_equals_pillow(data)


@pytest.mark.parametrize("height", [5, -5])
def test_32_bit_bmp_with_alpha_in_another_order(height: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 4)).astype(np.uint8)
    red, green, blue, alpha = (0xFF << shift for shift in (0, 8, 16, 24))  # RGBA as in memory
    masks = (red, green, blue, alpha)
    stored = pixels[::-1] if height > 0 else pixels
    data = raw_bmp(stored.tobytes(), height=height, width=4, bits=32, compression=3, masks=masks)
    np.testing.assert_array_equal(decode_image(data), pixels[..., :3])
    assert_equals_pillow(data)


def test_bmp_of_runs() -> None:
    palette = np.random.default_rng(0).integers(0, 256, (16, 4)).astype(np.uint8)
    palette[:, 3] = 0
    # from the bottom: six times 9; 1 2 3 as they are, padded; three times 4
    runs = bytes([6, 9, 0, 0, 0, 3, 1, 2, 3, 0, 3, 4, 0, 1])
    pairs = bytes([6, 0x99, 0, 0, 0, 3, 0x12, 0x30, 3, 0x44, 0, 1])
    indices = np.array([[1, 2, 3, 4, 4, 4], [9, 9, 9, 9, 9, 9]])
    for bits, compression, rows in ((8, 1, runs), (4, 2, pairs)):
        data = raw_bmp(
            rows,
            height=2,
            width=6,
            bits=bits,
            compression=compression,
            palette=palette.tobytes(),
        )
        np.testing.assert_array_equal(decode_image(data), palette[indices][..., 2::-1])
        assert_equals_pillow(data)


KINDS = {
    "JPEG": encode(rgb(), "JPEG"),
    "JPEG progressive": encode(rgb(), "JPEG", progressive=True),
    "JPEG arithmetic": (JPEGS / "colour-arithmetic.jpg").read_bytes(),
    "PNG": encode(rgb(), "PNG"),
    "WebP": encode(rgb(), "WEBP"),
    "WebP animated": encode(rgb(), "WEBP", save_all=True, append_images=[GREY]),
    "BMP": encode(rgb(), "BMP"),
    "GIF": encode(PALETTE, "GIF"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_truncated_is_refused(kind: str) -> None:
    data = KINDS[kind]
    # - 2, not - 1: a GIF is complete without its last byte, the trailer
    for size in [*range(1, 80), len(data) // 2, len(data) * 9 // 10, len(data) - 2]:
        with pytest.raises(DecodeError):
            decode_image(data[:size])


def test_a_jpeg_without_its_last_byte_is_refused() -> None:
    with pytest.raises(DecodeError, match="bytes is truncated: it has no end marker"):
        decode_image(KINDS["JPEG"][:-1])


def test_further_scans_of_a_baseline_jpeg_are_not_decoded() -> None:
    data = KINDS["JPEG"]
    scan = data[data.index(b"\xff\xda") : -2]
    black = scan[:14] + bytes(40)
    np.testing.assert_array_equal(
        decode_image(data[:-2] + black * 200 + data[-2:]), decode_image(data)
    )


def test_corrupt_pixels_are_refused() -> None:
    data = bytearray(KINDS["PNG"])
    data[len(data) // 2] ^= 0xFF  # the checksum of the chunk no longer fits
    with pytest.raises(DecodeError, match="PNG of 56 x 40 px is truncated or corrupt"):
        decode_image(bytes(data))


def test_picture_of_another_size_than_its_header_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # we know no file whose size OpenCV and our readers read differently, so the test makes one up
    still = Still("PNG", height=7, width=9, file=encode(rgb(), "PNG"))
    monkeypatch.setattr("runtime.media.images.decode.read_still", lambda _, **__: still)
    with pytest.raises(DecodeError, match="PNG says 9 x 7 px and holds 56 x 40"):
        decode_image(b"")


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bytes_raise_only_our_errors(kind: str) -> None:
    rng = random.Random(kind)
    refused = 0
    for _ in range(60):
        data = bytearray(KINDS[kind])
        header_only = rng.random() < 0.6
        for _ in range(rng.choice((1, 2, 8))):
            at = rng.randrange(min(64, len(data)) if header_only else len(data))
            data[at] = rng.choice((0, 127, 128, 255, rng.randrange(256)))
        try:
            decoded = decode_image(bytes(data), max_pixels=1_000_000)
        except SlipwayError:
            refused += 1
            continue
        assert decoded.dtype == np.uint8
        assert decoded.shape[2] == 3
    assert refused


def real_files() -> list[Path]:
    folders = ("badmedia", "photos", "faces", "matting")
    return sorted(p for name in folders for p in (DATA / name).rglob("*") if p.is_file())


def decode_or_none(data: bytes) -> NDArray[np.uint8] | None:
    try:
        return decode_image(data)
    except InputError:
        return None


XMP_ONLY = {"xmp_tags_orientation.avif"}  # an orientation in XMP alone is not applied


def pillow_or_none(data: bytes) -> NDArray[np.uint8] | None:
    with warnings.catch_warnings(action="ignore"):  # Pillow's, about files that are odd on purpose
        try:
            return decode_with_pillow(data)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            return None


@needs_data
def test_real_files_equal_pillow_or_are_refused() -> None:
    compared = 0
    for path in real_files():
        data = path.read_bytes()
        image, expected = decode_or_none(data), pillow_or_none(data)
        if image is not None and expected is not None and path.name not in XMP_ONLY:
            np.testing.assert_array_equal(image, expected, err_msg=path.name)
            compared += 1
    assert compared > 300


@needs_data
def test_real_files_that_only_one_decoder_reads() -> None:
    allowed = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"GIF8", b"BM")
    only_ours, only_pillows = set(), set()
    for path in real_files():
        data = path.read_bytes()
        if not data.startswith(allowed) and data[4:12] != b"ftypavif":
            assert decode_or_none(data) is None, path.name
            continue
        image, expected = decode_or_none(data), pillow_or_none(data)
        if image is not None and expected is None:
            only_ours.add(path.name)
        if image is None and expected is not None:
            only_pillows.add(path.name)
    # a broken animation with a valid default image; masks of twelve bits
    assert only_ours == {"chunk_no_fctl.png", "rgb32bf.bmp"}
    # rows that run over their end; a wrong checksum of the pixels
    assert only_pillows == {"badrle.bmp", "xcsn0g01.png"}
