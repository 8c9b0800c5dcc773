"""What an encoded image says about itself, read before a pixel is decoded.

One module per format, each with one reader: bytes to `Still`. A format is added by its signature in
`signature`, a module, and an entry in `_READERS`. Imports nothing of the runtime but its
errors and the names of what it refuses.
"""

import struct
from collections.abc import Callable, Mapping

from runtime.errors import DecodeError
from runtime.media.images.headers.bmp import read_bmp
from runtime.media.images.headers.gif import read_gif
from runtime.media.images.headers.jpeg import read_jpeg
from runtime.media.images.headers.png import read_png
from runtime.media.images.headers.signature import Kind, image_kind
from runtime.media.images.headers.still import Still
from runtime.media.images.headers.webp import read_webp

__all__ = ["Still", "read_still"]

# each takes the file and the limit in px; of its errors struct.error and IndexError mean truncation
_READERS: Mapping[Kind, Callable[[bytes, int], Still]] = {
    "JPEG": read_jpeg,
    "PNG": read_png,
    "WebP": read_webp,
    "BMP": read_bmp,
    "GIF": read_gif,
}


def read_still(data: bytes, *, max_pixels: int) -> Still:
    """Find the first picture of an encoded image, its size and its orientation.

    Args:
        data: a whole file. Its kind is told by its content; names and media types lie.
        max_pixels: the largest width * height allowed, in px.

    Raises:
        DecodeError: empty, of a kind that is not allowed, truncated, or contradicting itself.
        TooLargeError: more than max_pixels, told from the header alone.
    """
    kind = image_kind(data)
    try:
        return _READERS[kind](data, max_pixels)
    except (struct.error, IndexError):
        raise DecodeError(f"{kind} of {len(data)} bytes ends within its header") from None
