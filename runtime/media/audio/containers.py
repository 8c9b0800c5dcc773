"""The container of an encoded sound, decided by its first bytes before a decoder sees it.

Also holds the limits that all decoders of sounds share.
"""

import re
import struct
from collections.abc import Iterator
from typing import Literal

from runtime.errors import TooLargeError
from runtime.media.signatures import is_mp4_image

Container = Literal["wav", "flac", "ogg", "mp3", "matroska", "mp4"]

FORMATS = "WAV, FLAC, Ogg (Vorbis, Opus), MP3"  # decoded without PyAV
MAX_CHANNELS = 8
BLOCK_FRAMES = 65_536  # samples of each channel that are decoded at a time

RIFF_BYTE_ORDERS = {b"RIFF": "<", b"RF64": "<", b"RIFX": ">"}
# some recorders leave room for a tag that they never write
_PADDED_MP3 = re.compile(rb"\0+(?:\xff[\xe2\xe3\xf2\xf3\xfa\xfb]|ID3)")


def container_of(data: bytes) -> Container | None:
    """Return the container of a sound, None if the first bytes are of no container read here."""
    if data[:4] in RIFF_BYTE_ORDERS:
        return "wav" if data[8:12] == b"WAVE" else None
    # a frame of MP3: eleven set bits, then MPEG version 1, 2 or 2.5 and layer III
    is_frame = (
        len(data) > 1 and data[0] == 0xFF and data[1] & 0xE6 == 0xE2 and data[1] & 0x18 != 0x08
    )
    if is_frame or data[:3] == b"ID3" or _PADDED_MP3.match(data):
        return "mp3"
    if data[4:8] == b"ftyp":
        return None if is_mp4_image(data) else "mp4"
    containers: dict[bytes, Container] = {
        b"fLaC": "flac",
        b"OggS": "ogg",
        b"\x1a\x45\xdf\xa3": "matroska",
    }
    return containers.get(data[:4])


def check_channels(channels: int) -> None:
    """Check the number of channels of a sound.

    Raises:
        TooLargeError: more than MAX_CHANNELS.
    """
    if channels > MAX_CHANNELS:
        raise TooLargeError(f"the sound has {channels} channels; allowed: {MAX_CHANNELS}")


def riff_chunks(data: bytes | memoryview, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each RIFF chunk, the offset of its content, and its claimed size."""
    offset = 12
    while offset + 8 <= len(data):
        name, size = struct.unpack_from(f"{order}4sI", data, offset)
        yield name, offset + 8, size
        offset += 8 + size + size % 2
