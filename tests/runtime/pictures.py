"""Encoded images made by Pillow, and what Pillow reads from them: the oracle of the decoder."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

HEIGHT, WIDTH = 40, 56


def rgb() -> Image.Image:
    """Gradients with a patch of noise, different in every corner."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    pixels = np.stack([x * 4, y * 6, 255 - (x + y) * 2], axis=2).astype(np.uint8)
    pixels[8:20, 5:30] = np.random.default_rng(0).integers(0, 256, (12, 25, 3))
    return Image.fromarray(pixels)


def rgba() -> Image.Image:
    """The same with an alpha that runs from 0 to 220 over opaque colours."""
    picture = rgb().convert("RGBA")
    picture.putalpha(Image.fromarray(np.mgrid[0:HEIGHT, 0:WIDTH][1].astype(np.uint8) * 4))
    return picture


def encode(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def oriented(orientation: int) -> bytes:
    """EXIF with this orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def expected(data: bytes) -> NDArray[np.uint8]:
    """(H, W, 3) uint8, as Pillow decodes the first frame, upright; the high byte of 16-bit grey."""
    with Image.open(io.BytesIO(data)) as picture:
        if picture.mode == "I;16":
            high = (np.asarray(picture) >> 8).astype(np.uint8)
            return np.repeat(high[:, :, np.newaxis], 3, axis=2)
        return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))


def png_chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)


def noise(height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    """Noise: the picture on which resizers differ most."""
    generator = np.random.default_rng(height * 1000 + width)
    return generator.integers(0, 256, (height, width, channels), dtype=np.uint8)


def grey(rows: list[list[int]]) -> NDArray[np.uint8]:
    return np.array(rows, np.uint8)[:, :, np.newaxis]


def pillow_bilinear(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    squeezed = image[:, :, 0] if image.shape[2] == 1 else image
    resized = Image.fromarray(squeezed).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized).reshape(height, width, image.shape[2])
