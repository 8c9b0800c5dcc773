"""Sizes and orientations read from headers, and hostile headers that are refused."""

import struct
import tracemalloc
import zlib

import pytest

from runtime.errors import DecodeError, TooLargeError
from runtime.media.images.decode import decode_image
from runtime.media.images.headers import read_still
from runtime.media.images.headers.exif import read_orientation
from runtime.media.images.headers.signature import image_format
from tests.runtime.support.pictures import (
    HEIGHT,
    WIDTH,
    encode,
    exif_with_orientation,
    noise,
    png_chunk,
    png_header,
    raw_png,
    rgb,
    rgba,
)

LIMIT = HEIGHT * WIDTH
PALETTE = rgb().quantize(16)
PROGRESSIVE = encode(rgb(), "JPEG", progressive=True)
# of a baseline JPEG with all components in one scan, further scans are not decoded; here they are
ONE_COMPONENT_A_SCAN = encode(rgb(), "JPEG").replace(b"\xff\xda\0\x0c\3", b"\xff\xda\0\x0c\1")
SCAN = b"\xff\xda\0\x08\1\1\0\0\x3f\0"  # of one component, without data
FILES = {
    "JPEG": encode(rgb(), "JPEG"),
    "PNG": encode(rgb(), "PNG"),
    "WebP VP8": encode(rgb(), "WEBP"),
    "WebP VP8L": encode(rgb(), "WEBP", lossless=True),
    "WebP VP8X": encode(rgba(), "WEBP"),
    "WebP animated": encode(rgb(), "WEBP", save_all=True, append_images=[rgba()]),
    "BMP": encode(rgb(), "BMP"),
    "GIF": encode(PALETTE, "GIF"),
}


def bmp_header(width: int, height: int, *, bits: int = 24, compression: int = 0) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 0, 0, 0, 0)
    return struct.pack("<2sIHHI", b"BM", 54, 0, 0, 54) + info


@pytest.mark.parametrize("name", FILES)
def test_size_is_read(name: str) -> None:
    still = read_still(FILES[name], max_pixels=LIMIT)
    assert (still.format, still.height, still.width) == (name.split()[0], HEIGHT, WIDTH)
    assert still.orientation == 1


@pytest.mark.parametrize("name", FILES)
def test_one_pixel_over_the_limit_is_refused(name: str) -> None:
    message = f"{name.split()[0]} of 56 x 40 px; allowed: at most {LIMIT - 1} px"
    with pytest.raises(TooLargeError, match=message):
        read_still(FILES[name], max_pixels=LIMIT - 1)


def test_huge_claim_is_refused_without_allocation() -> None:
    data = png_header(60_000, 60_000) + png_chunk(b"IDAT", bytes(100)) + png_chunk(b"IEND", b"")
    tracemalloc.start()
    with pytest.raises(TooLargeError, match="PNG of 60000 x 60000 px"):
        decode_image(data, max_pixels=50_000_000)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 100_000  # the image would be 11 GB


@pytest.mark.parametrize(
    ("data", "content"),
    [
        (b"", "the image is empty"),
        (b"II*\0rest", "found TIFF"),
        (b"\0\0\0\x0cjP  \r\n", "found JPEG 2000"),
        (b"\0\0\0 ftyphevc", "found HEIC sequence"),
        (b"\0\0\0 ftypmif1", "found HEIF"),
        (b"\0\0\0 ftypcrx ", "found CR3 raw"),
        (b"\0\0\0 ftypisom", "found MP4 or QuickTime video"),
        (b"\x76\x2f\x31\x01", "found OpenEXR"),
        (b"\0\0\1\0", "found ICO"),
        (b"\x01\xda\0\1", "found SGI"),
        (b"%PDF-1.7", "found PDF"),
        (b"<svg xmlns=", "found SVG"),
        (b"RIFF\0\0\0\0WAVE", "found WAV audio"),
        (b"hello", "found 5 bytes"),
    ],
)
def test_other_file_types_are_named(data: bytes, content: str) -> None:
    with pytest.raises(
        DecodeError, match=f"^{content}( that begin .*)?; allowed: JPEG, PNG, WebP, BMP, GIF, AVIF$"
    ):
        image_format(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (png_header(0, 5), "PNG says 0 x 5 px"),
        (png_header(5, 5)[:20], "PNG is truncated|no IEND"),
        (png_header(5, 5), "it has no IEND chunk"),
        (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IDAT", b""), "PNG begins with a 'IDAT' chunk"),
        (bmp_header(5, 0), "BMP says 5 x 0 px"),
        (bmp_header(-5, 5), "BMP says -5 x 5 px"),
        (bmp_header(5, 5, bits=16), "BMP is truncated: 0 of 60 bytes of pixels"),
        (bmp_header(5, 5, bits=32, compression=3) + bytes(200), "BMP has the colour masks"),
        (b"BM", "BMP of 2 bytes ends within its header"),
        (b"GIF89a" + bytes(8), "GIF has a block of type 0x00|holds no image"),
        (b"GIF89a" + bytes(7) + b";", "GIF of 14 bytes holds no image"),
        (FILES["GIF"][:-2], "GIF of .* bytes is truncated within its first frame"),
        (b"\xff\xd8\xff\xd9", "JPEG of 4 bytes ends before its first scan"),
        (b"\xff\xd8\xff\xda\0\2\xff\xd9", "JPEG has no frame header"),
        (b"\xff\xd8\xff\xc1\0\x0b\x0c\0\5\0\5\3" + bytes(9), "JPEG has 12 bits per sample"),
        (b"\xff\xd8\xff\xc0\0\x0b\x08\0\0\0\5\3" + bytes(9), "JPEG says 5 x 0 px"),
        (b"\xff\xd8\xff\xc5\0\x0b\x08\0\5\0\5\3" + bytes(9), "JPEG has a .* SOF5; .* SOF9, SOF10$"),
        (b"\xff\xd8\xff\xc3\0\x0b\x08\0\5\0\5\1" + bytes(9), "JPEG is lossless with 1 channels"),
        (b"\xff\xd8\xff\xc0\0", "JPEG of 5 bytes ends within its header"),
        (PROGRESSIVE[:-2] + SCAN * 200 + b"\xff\xd9", "JPEG has more than 100 scans"),
        (ONE_COMPONENT_A_SCAN[:-2] + SCAN * 200 + b"\xff\xd9", "JPEG has more than 100 scans"),
        (FILES["WebP VP8"][:-1], "WebP is truncated"),
        (b"RIFF\4\0\0\0WEBP", "WebP holds no chunk"),
        (b"RIFF\x0c\0\0\0WEBPICCP\0\0\0\0", "WebP begins with a 'ICCP' chunk"),
        (b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(10), "WebP has no image chunk"),
    ],
)
def test_broken_headers_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        read_still(data, max_pixels=LIMIT)


def test_webp_whose_sizes_disagree_is_refused() -> None:
    data = bytearray(FILES["WebP VP8X"])
    data[24:27] = b"\0\0\0"  # canvas width - 1
    with pytest.raises(DecodeError, match=r"WebP says \(height, width\) \(40, 1\) .* \(40, 56\)"):
        read_still(bytes(data), max_pixels=LIMIT)


def test_webp_frame_outside_of_its_canvas_is_refused() -> None:
    data = bytearray(FILES["WebP animated"])
    data[data.index(b"ANMF") + 8] = 1  # left / 2
    with pytest.raises(DecodeError, match="WebP has a frame outside of its canvas of 56 x 40 px"):
        read_still(bytes(data), max_pixels=LIMIT)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\xff\xd8" + b"\xff\xfe\0\2" * 200_000, id="jpeg"),
        pytest.param(png_header(5, 5) + png_chunk(b"tEXt", b"") * 200_000, id="png"),
        pytest.param(b"GIF89a" + bytes(7) + b"!\xfe\1\0\0" * 200_000, id="gif"),
        pytest.param(b"GIF89a" + bytes(7) + b"!\xfe" + b"\1\0" * 200_000, id="gif-blocks"),
        pytest.param(b"RIFF\x00\x6a\x18\0WEBP" + b"JUNK\0\0\0\0" * 200_000, id="webp"),
    ],
)
def test_very_many_parts_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError, match="has more than the 100000 parts allowed"):
        read_still(data, max_pixels=LIMIT)


def test_text_and_profiles_reach_no_decompressor() -> None:
    data = FILES["PNG"]
    extra = png_chunk(b"zTXt", b"Comment\0\0" + bytes(9)) + png_chunk(b"iCCP", b"x\0\0" + bytes(9))
    assert read_still(data[:33] + extra + data[33:], max_pixels=LIMIT).file == data


def test_bmp_with_the_header_of_os2_is_read() -> None:
    core = struct.pack("<2sIHHIIHHHH", b"BM", 0, 0, 0, 26, 12, 7, 3, 1, 24)
    still = read_still(core + bytes(72), max_pixels=21)
    assert (still.height, still.width) == (3, 7)


def test_negative_height_of_a_bmp_is_a_row_order() -> None:
    assert read_still(bmp_header(7, -3), max_pixels=21).height == 3


def tiff(order: str, tag: int, value_type: int, value: int) -> bytes:
    """Return a TIFF structure of one entry, whose value type 3 is 16 bits wide and 4 is 32."""
    mark = {"<": b"II", ">": b"MM"}[order]
    number = struct.pack(order + {3: "H", 4: "I"}.get(value_type, "I"), value).ljust(4, b"\0")
    return mark + struct.pack(order + "HIHHHI", 42, 8, 1, tag, value_type, 1) + number


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("value_type", [3, 4])
def test_orientation_is_read(order: str, value_type: int) -> None:
    assert read_orientation(tiff(order, 0x0112, value_type, 6)) == 6
    assert read_orientation(b"Exif\0\0" + tiff(order, 0x0112, value_type, 6)) == 6


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"junk",
        b"II*\0\xff\xff\xff\xff",
        tiff("<", 0x0112, 3, 9),
        tiff("<", 0x0112, 3, 0),
        tiff("<", 0x0112, 2, 6),
        tiff("<", 0x0100, 3, 6),
        tiff("<", 0x0112, 3, 6)[:-4],
    ],
)
def test_broken_exif_means_no_orientation(exif: bytes) -> None:
    assert read_orientation(exif) == 1


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_orientation_is_read_from_each_format(name: str) -> None:
    assert (
        read_still(encode(rgb(), name, exif=exif_with_orientation(7)), max_pixels=LIMIT).orientation
        == 7
    )


@pytest.mark.parametrize("file", [PROGRESSIVE, ONE_COMPONENT_A_SCAN])
@pytest.mark.parametrize(
    "tail", [SCAN * 500, b"\xff\xda" * 500, PROGRESSIVE * 20, b"\xff\xd9" + SCAN * 500]
)
def test_bytes_behind_the_end_of_a_jpeg_are_no_scans(file: bytes, tail: bytes) -> None:
    assert read_still(file + tail, max_pixels=LIMIT).format == "JPEG"


def test_an_end_marker_within_a_segment_hides_no_scans() -> None:
    comment = b"\xff\xfe\0\x06\xff\xd9\xff\xd9"
    data = PROGRESSIVE[:-2] + comment + SCAN * 200 + b"\xff\xd9"
    with pytest.raises(DecodeError, match="JPEG has more than 100 scans"):
        read_still(data, max_pixels=LIMIT)


def test_png_data_that_inflates_to_more_than_the_pixels_is_refused() -> None:
    packer = zlib.compressobj(9, wbits=-15)
    zeros = packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH)
    data = b"\x78\xda" + zeros * (2**21 // len(zeros) + 1)
    header, end = png_header(WIDTH, HEIGHT), png_chunk(b"IEND", b"")
    parts = [data[first : first + 2**17] for first in range(0, len(data), 2**17)]
    chunks = b"".join(png_chunk(b"IDAT", part) for part in parts)
    with pytest.raises(DecodeError, match="PNG of 56 x 40 px holds data of far more pixels"):
        read_still(header + chunks + end, max_pixels=LIMIT)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("tail", [0, 2**22])
def test_large_png_data_is_read(interlaced: bool, tail: int) -> None:
    samples = noise(901, 903)
    data = raw_png(samples, colour_type=2, bits=8, interlaced=interlaced)
    data = data[:-12] + png_chunk(b"IDAT", bytes(tail)) + data[-12:]
    assert (decode_image(data) == samples).all()
