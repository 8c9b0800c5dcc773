"""Read the header of an encoded image before any pixel is decoded.

Each format has a module with one reader, from the bytes of a file to a `Still`. To add a format,
add its name to `signature`, a module, and an entry in `_READERS`.

`cv2.imdecode` alone would decode the five formats, but it has no limit on pixels per call, no
refusal that names what it found, and other pixels than Pillow in these cases, which the readers
mend by handing it a file with the first picture alone:

- an animated PNG whose default image is not part of the animation (OpenCV 5 shows a later frame);
- a GIF with a transparent colour, a frame larger than its screen, or an index beyond its palette;
- an animated WebP with an EXIF orientation;
- a BMP of 16 bits, or with colour masks;
- EXIF: OpenCV ignores the type of the orientation, so it reads one from a text, and misses one that
  is stored as a big-endian LONG;
- a JPEG without its end marker, whose missing rows libjpeg fills with grey.

Imports nothing of the runtime but its errors, the names of file types and colour code points.
"""

import struct
from collections.abc import Callable, Mapping

from runtime.errors import DecodeError
from runtime.media.images.headers.avif import read_avif
from runtime.media.images.headers.bmp import read_bmp
from runtime.media.images.headers.gif import read_gif
from runtime.media.images.headers.heic import read_heic
from runtime.media.images.headers.jpeg import read_jpeg
from runtime.media.images.headers.png import read_png
from runtime.media.images.headers.signature import ImageFormat, image_format
from runtime.media.images.headers.still import ColourTags, Still
from runtime.media.images.headers.webp import read_webp

__all__ = ["ColourTags", "Still", "read_still"]

# A reader takes a file and the largest width * height in px. It may let struct.error and IndexError
# pass: they mean that the file ends within its header.
_READERS: Mapping[ImageFormat, Callable[[bytes, int], Still]] = {
    "JPEG": read_jpeg,
    "PNG": read_png,
    "WebP": read_webp,
    "BMP": read_bmp,
    "GIF": read_gif,
    "AVIF": read_avif,
    "HEIC": read_heic,
}


def read_still(data: bytes, *, max_pixels: int) -> Still:
    """Read the size and orientation of an image file, and find its first picture.

    Args:
        data: a whole file. Its first bytes decide the format; names and media types may be wrong.
        max_pixels: the largest width * height, in px.

    Raises:
        DecodeError: empty, another format, truncated, or contradictory.
        TooLargeError: the header claims more than max_pixels.
    """
    name = image_format(data)
    try:
        return _READERS[name](data, max_pixels)
    except (struct.error, IndexError):
        raise DecodeError(f"{name} of {len(data)} bytes ends within its header") from None
