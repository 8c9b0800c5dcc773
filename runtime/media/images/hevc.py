"""Decode a still picture that is coded as HEVC, with the optional package av (PyAV).

FFmpeg gets the bitstream alone, with the size that the file's description promises as its limit:
its own reader of containers would choose the item and allocate by the bitstream's header.
Pixels differ from libheif's by 2 levels at most (measured on seven files that it wrote).
"""

import importlib.util

import numpy as np

from runtime.arrays import Image
from runtime.errors import DecodeError, TooLargeError
from runtime.media.images.headers.signature import IMAGE_FORMATS
from runtime.media.images.headers.still import Coded

BLOCK = 64  # px, the largest coding block, to whose multiple a decoder allocates


def is_installed() -> bool:
    """Return whether PyAV can be imported."""
    return importlib.util.find_spec("av") is not None


def decode(coded: Coded, *, is_grey: bool = False) -> Image:
    """Decode a picture to (H, W, 3) uint8 RGB, or to (H, W) levels.

    Raises:
        DecodeError: PyAV is not installed, or the bitstream is damaged or of another size.
        TooLargeError: the bitstream is larger than its description says.
    """
    if not is_installed():
        raise DecodeError(
            "the image is HEIC, which is read only where the optional package av (PyAV) is "
            f"installed; allowed here: {', '.join(IMAGE_FORMATS)}"
        )
    import av

    height, width = coded.top + coded.height, coded.left + coded.width
    context = av.CodecContext.create("hevc", "r")
    context.extradata = coded.configuration
    context.thread_type, context.thread_count = "NONE", 1  # more have waited for ever
    limit = (height + BLOCK) * (width + BLOCK)
    context.options = {"max_pixels": str(limit)}
    try:
        frames = [*context.decode(av.Packet(coded.stream)), *context.decode(None)]
        pixels = frames[0].to_ndarray(format="gray" if is_grey else "rgb24") if frames else None
    except av.error.MemoryError:
        raise TooLargeError(f"HEIC says {width} x {height} px and holds more") from None
    except av.FFmpegError:
        pixels = None
    if pixels is None or pixels.shape[0] < height or pixels.shape[1] < width:
        raise DecodeError(f"HEIC of {width} x {height} px is truncated or corrupt")
    shown = pixels[coded.top : height, coded.left : width]
    return np.ascontiguousarray(shown, np.uint8)
