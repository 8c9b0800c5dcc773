"""Images encoded by Pillow or by hand, and Pillow's decoding of them, the oracle of ours."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

HEIGHT, WIDTH = 40, 56


def rgb() -> Image.Image:
    """Return gradients with a patch of noise; all corners differ, so that a turn shows."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    pixels = np.stack([x * 4, y * 6, 255 - (x + y) * 2], axis=2).astype(np.uint8)
    pixels[8:20, 5:30] = np.random.default_rng(0).integers(0, 256, (12, 25, 3))
    return Image.fromarray(pixels)


def rgba() -> Image.Image:
    """Return the picture of `rgb` with an alpha that rises from 0 to 220, from left to right."""
    picture = rgb().convert("RGBA")
    picture.putalpha(Image.fromarray(np.mgrid[0:HEIGHT, 0:WIDTH][1].astype(np.uint8) * 4))
    return picture


def encode(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def exif_with_orientation(orientation: int) -> bytes:
    """Return EXIF data whose only tag is the orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def decode_with_pillow(data: bytes) -> NDArray[np.uint8]:
    """Decode the first frame with Pillow and turn it upright; 16-bit grey becomes its high byte.

    Returns:
        (H, W, 3) uint8, RGB.
    """
    with Image.open(io.BytesIO(data)) as picture:
        if picture.mode == "I;16":
            high = (np.asarray(picture) >> 8).astype(np.uint8)
            return np.repeat(high[:, :, np.newaxis], 3, axis=2)
        upright = ImageOps.exif_transpose(picture)
        if upright.mode == "P":  # else Pillow warns of several transparent entries
            upright.info.pop("transparency", None)
        return np.asarray(upright.convert("RGB"))


def decode_by_pillow(data: bytes) -> NDArray[np.uint8]:
    """Return the pixels with the channels that the file has; Pillow shares no encoder of ours."""
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        return np.asarray(picture)


def png_chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


# For each pass of an interlaced PNG: first row and column, then the steps between rows and columns.
_ADAM7 = (
    (0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
    (1, 0, 2, 1),
)  # fmt: skip


def raw_png(
    samples: NDArray[np.integer],
    *,
    colour_type: int,
    bits: int,
    interlaced: bool = False,
    extra: tuple[tuple[bytes, bytes], ...] = (),
) -> bytes:
    """Encode a PNG of a kind that Pillow does not write.

    Args:
        samples: (H, W, C), each below 2 ** bits.
        colour_type: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGB and alpha.
        bits: of a sample.
        interlaced: whether the pixels are in the seven passes of Adam7.
        extra: name and content of the chunks before the pixels.
    """
    height, width, _ = samples.shape
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    parts = [samples[top::down, left::right] for top, left, down, right in passes]
    rows = b"".join(b"\0" + _packed(row, bits) for part in parts if part.size for row in part)
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, interlaced)
    chunks = ((b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


def _packed(row: NDArray[np.integer], bits: int) -> bytes:
    if bits == 16:
        return row.astype(">u2").tobytes()
    spread = np.unpackbits(row.astype(np.uint8).reshape(-1, 1), axis=1)[:, 8 - bits :]
    return np.packbits(spread).tobytes()


def raw_bmp(
    rows: bytes,
    *,
    height: int,
    width: int,
    bits: int,
    compression: int = 0,
    masks: tuple[int, ...] = (),
    palette: bytes = b"",
) -> bytes:
    """Encode a BMP of a kind that Pillow does not write.

    Args:
        rows: the pixels as they are stored.
        height: negative if the rows run from top to bottom.
        width: px.
        bits: of a pixel.
        compression: 0 none, 1 runs of 8 bits, 2 runs of 4 bits, 3 by masks.
        masks: of red, green and blue; a fourth is that of alpha.
        palette: blue, green, red and a zero for each colour.
    """
    fields = (width, height, 1, bits, compression, len(rows), 0, 0, len(palette) // 4, 0)
    info = struct.pack("<iiHHIIiiII", *fields) + struct.pack(f"<{len(masks)}I", *masks)
    if len(masks) == 4:
        info += bytes(52)  # BITMAPV4HEADER goes on with its colour space
    # three masks follow the header of 40 bytes, four belong to a longer one
    size = 40 if len(masks) < 4 else 4 + len(info)
    start = 18 + len(info) + len(palette)
    head = struct.pack("<2sIIII", b"BM", start + len(rows), 0, start, size)
    return head + info + palette + rows


def png_header(width: int, height: int) -> bytes:
    """Return the beginning of a PNG that claims a size and holds no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)


def noise(height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    """Return noise, the picture on which resizers differ most."""
    generator = np.random.default_rng(height * 1000 + width)
    return generator.integers(0, 256, (height, width, channels), dtype=np.uint8)


def grey(rows: list[list[int]]) -> NDArray[np.uint8]:
    return np.array(rows, np.uint8)[:, :, np.newaxis]


def pillow_bilinear(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    return pillow_resized(image, height, width, Image.Resampling.BILINEAR)


def pillow_resized(
    image: NDArray[np.uint8], height: int, width: int, resampling: Image.Resampling
) -> NDArray[np.uint8]:
    squeezed = image[:, :, 0] if image.shape[2] == 1 else image
    resized = Image.fromarray(squeezed).resize((width, height), resampling)
    return np.asarray(resized).reshape(height, width, image.shape[2])
