"""Colours of images with a profile: converted to sRGB as lcms does, or a warning."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from runtime.media.images.decode import APPROXIMATED, decode_image, decode_photo
from tests.runtime.support.pictures import encode, png_chunk, rgb
from tests.runtime.support.profiles import (
    ADOBE_RGB,
    DISPLAY_P3,
    PROPHOTO,
    SRGB,
    SRGB_CURVE,
    grey_profile,
    matrix_profile,
    parametric,
    profile,
    table,
)
from tests.support.shared_data import CASES, needs_data

GAMMA_TABLE = table([round(65535 * (index / 255) ** 1.8) for index in range(256)])
P3 = matrix_profile(DISPLAY_P3, parametric(*SRGB_CURVE))
PATCHES = Image.fromarray(
    np.repeat(
        np.array(
            [[200, 50, 50], [60, 160, 60], [40, 70, 200], [230, 190, 40], [128] * 3, [9] * 3],
            np.uint8,
        )[np.newaxis],
        16,
        axis=0,
    ).repeat(16, axis=1)
)


def by_lcms(picture: Image.Image, icc: bytes) -> np.ndarray:
    """Return the picture in sRGB, relative colorimetric, by Little CMS."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    converted = ImageCms.profileToProfile(
        picture, source, ImageCms.createProfile("sRGB"), renderingIntent=intent, outputMode="RGB"
    )
    assert converted is not None
    return np.asarray(converted)


def assert_close(actual: np.ndarray, expected: np.ndarray, tolerance: int) -> None:
    assert np.abs(actual.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize(
    "icc",
    [
        pytest.param(P3, id="display-p3"),
        pytest.param(matrix_profile(ADOBE_RGB, table([563])), id="adobe-rgb"),
        pytest.param(matrix_profile(PROPHOTO, GAMMA_TABLE), id="prophoto-table"),
        pytest.param(matrix_profile(PROPHOTO, table([])), id="linear"),
        pytest.param(matrix_profile(SRGB, table([0, 65535])), id="table-of-two"),
        pytest.param(matrix_profile(DISPLAY_P3, parametric(0, (1.8,))), id="parametric-0"),
        pytest.param(matrix_profile(DISPLAY_P3, parametric(1, (2.2, 1.1, -0.1))), id="para-1"),
        pytest.param(
            matrix_profile(DISPLAY_P3, parametric(2, (2.2, 0.9, -0.05, 0.1))), id="parametric-2"
        ),
        pytest.param(
            matrix_profile(
                ADOBE_RGB, parametric(4, (2.4, 0.9479, 0.0521, 0.0774, 0.0405, 0.01, 0.005))
            ),
            id="parametric-4",
        ),
    ],
)
def test_matrix_profiles_are_converted_as_by_lcms(icc: bytes) -> None:
    photo = decode_photo(encode(rgb(), "PNG", icc_profile=icc))
    assert photo.warnings == ()
    expected = by_lcms(rgb(), icc)
    assert_close(photo.pixels, expected, 2)
    assert np.abs(expected.astype(int) - np.asarray(rgb())).max() > 20  # the profile matters


def test_a_grey_profile_is_applied_to_grey_pixels() -> None:
    icc = grey_profile(table([256]))  # linear light
    photo = decode_photo(encode(rgb().convert("L"), "PNG", icc_profile=icc))
    expected = by_lcms(rgb().convert("L"), icc)
    assert_close(photo.pixels, expected, 1)
    assert photo.pixels.mean() > np.asarray(rgb().convert("L")).mean() + 30


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [("PNG", {}, 1), ("JPEG", {"quality": 100, "subsampling": 0}, 3), ("WEBP", {"lossless": 1}, 1)],
)
def test_each_format_hands_over_its_profile(
    kind: str, options: dict[str, int], tolerance: int
) -> None:
    photo = decode_photo(encode(PATCHES, kind, icc_profile=P3, **options))
    assert_close(photo.pixels[8, 8::16], by_lcms(PATCHES, P3)[8, 8::16], tolerance)


def test_a_profile_in_several_segments_of_a_jpeg_is_joined() -> None:
    icc = matrix_profile(DISPLAY_P3, parametric(*SRGB_CURVE), zzzz=b"data" * 40_000)
    data = encode(PATCHES, "JPEG", icc_profile=icc, quality=100, subsampling=0)
    assert data.count(b"ICC_PROFILE\0") == 3
    expected = by_lcms(PATCHES, P3)[8, 8::16]
    assert_close(decode_image(data)[8, 8::16], expected, 3)
    photo = decode_photo(data.replace(b"ICC_PROFILE\0\2", b"ICC_PROFILE\0\7"))
    assert photo.warnings == (
        "the colour profile is damaged: 1 of its 3 parts are missing: the colours count as sRGB",
    )
    assert_close(photo.pixels, np.asarray(PATCHES), 3)


@pytest.mark.parametrize(
    "icc",
    [
        pytest.param(matrix_profile(SRGB, parametric(*SRGB_CURVE)), id="by-hand"),
        pytest.param(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), id="lcms"),
    ],
)
def test_an_srgb_profile_changes_no_pixel(icc: bytes) -> None:
    photo = decode_photo(encode(rgb(), "PNG", icc_profile=icc))
    assert photo.warnings == ()
    np.testing.assert_array_equal(photo.pixels, np.asarray(rgb()))


def with_code_points(*codes: int) -> bytes:
    data = encode(PATCHES, "PNG")
    return data[:33] + png_chunk(b"cICP", bytes(codes)) + data[33:]


def test_code_points_of_a_png_are_converted() -> None:
    plain = np.asarray(PATCHES)
    assert_close(decode_image(with_code_points(12, 13, 0, 1)), by_lcms(PATCHES, P3), 1)
    np.testing.assert_array_equal(decode_image(with_code_points(1, 13, 0, 1)), plain)
    narrow = np.clip((plain.astype(float) - 16) * 255 / 219, 0, 255)
    assert_close(decode_image(with_code_points(1, 13, 0, 0)), np.rint(narrow), 1)
    hdr = decode_photo(with_code_points(9, 16, 0, 1))
    assert hdr.warnings == (
        "the colour profile is of high dynamic range (PQ): the colours count as sRGB",
    )
    np.testing.assert_array_equal(hdr.pixels, plain)


def test_code_points_take_precedence_over_a_profile() -> None:
    data = encode(PATCHES, "PNG", icc_profile=matrix_profile(PROPHOTO, GAMMA_TABLE))
    data = data[:33] + png_chunk(b"cICP", bytes((12, 13, 0, 1))) + data[33:]
    assert_close(decode_image(data), by_lcms(PATCHES, P3), 1)


LOOKUP = profile(b"RGB ", {"A2B0": b"mft2" + bytes(60)}, connection=b"Lab ")


@pytest.mark.parametrize(
    ("icc", "reason"),
    [
        (P3[:200], "is damaged: a tag is missing or incomplete"),
        (b"no profile at all", "is damaged: it has no signature 'acsp'"),
        (P3.replace(b"gTRC", b"gone"), "is damaged: a tag is missing or incomplete"),
        (P3.replace(b"para\0\0\0\0\0\3", b"para\0\0\0\0\0\7"), "is damaged: a tag is missing"),
        (LOOKUP, "is a lookup table, which is not evaluated"),
        (profile(b"CMYK", {"A2B0": b"mft2"}), "is for CMYK, which is not converted"),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_profile_that_cannot_be_used_is_ignored_with_a_warning(
    kind: str, icc: bytes, reason: str
) -> None:
    photo = decode_photo(encode(rgb(), kind, icc_profile=icc))
    (warning,) = photo.warnings
    assert warning.startswith(f"the colour profile {reason}")
    assert warning.endswith(": the colours count as sRGB")
    np.testing.assert_array_equal(photo.pixels, decode_image(encode(rgb(), kind)))


def test_a_matrix_besides_a_lookup_table_is_used_with_a_warning() -> None:
    icc = matrix_profile(DISPLAY_P3, parametric(*SRGB_CURVE), A2B0=b"mft2" + bytes(60))
    photo = decode_photo(encode(PATCHES, "PNG", icc_profile=icc))
    assert photo.warnings == (APPROXIMATED,)
    assert_close(photo.pixels, by_lcms(PATCHES, P3), 1)


def test_a_packed_profile_that_is_damaged_or_huge_is_ignored_with_a_warning() -> None:
    data = encode(PATCHES, "PNG", icc_profile=P3)
    start = data.index(b"iCCP") + 4
    broken = data[: start + 20] + b"\xff" * 8 + data[start + 28 :]
    assert "it cannot be unpacked" in decode_photo(broken).warnings[0]
    huge = decode_photo(encode(PATCHES, "PNG", icc_profile=bytes(5 * 2**20)))
    assert "has more than the 4194304 bytes allowed" in huge.warnings[0]


@needs_data
@pytest.mark.parametrize(
    ("name", "tolerance", "expected"),
    [
        (
            "display-p3-patches.png",
            3,
            [(244, 34, 35), (0, 153, 44), (22, 81, 208), (248, 198, 0), (128,) * 3, (250,) * 3],
        ),
        (
            "adobe-rgb-patches.jpg",
            4,
            [(255, 57, 46), (0, 151, 48), (0, 79, 206), (254, 201, 0), (129,) * 3, (250,) * 3],
        ),
    ],
)
def test_patches_of_the_cases(name: str, tolerance: int, expected: list[tuple[int, ...]]) -> None:
    pixels = decode_image((CASES / name).read_bytes())
    assert_close(pixels[24, 24::48], np.array(expected), tolerance)
