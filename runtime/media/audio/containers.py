"""What an encoded sound is, told from its first bytes before any decoder sees it."""

import struct
from collections.abc import Iterator
from typing import Literal

from runtime.errors import TooLargeError
from runtime.media.signatures import is_mp4_image

Kind = Literal["wav", "flac", "ogg", "mp3", "matroska", "mp4"]

FORMATS = "WAV, FLAC, Ogg (Vorbis, Opus), MP3"  # read without PyAV
MAX_CHANNELS = 8
BLOCK_FRAMES = 65_536  # samples of every channel that are decoded at once
_RIFF = {b"RIFF": "<", b"RF64": "<", b"RIFX": ">"}  # and the byte order of what follows
_PLAIN_CODES = (1, 3, 6, 7)  # of WAVE: integers, floats, A-law, mu-law
_EXTENSIBLE = 0xFFFE  # the code stands further on, the first two bytes of a GUID


def kind_of(data: bytes) -> Kind | None:
    """The container of a sound, None where it is none of these."""
    if data[:4] in _RIFF:
        return "wav" if data[8:12] == b"WAVE" else None
    # of MP3: a frame's eleven bits of synchronisation, then MPEG 1, 2 or 2.5, layer III
    frame = len(data) > 1 and data[0] == 0xFF and data[1] & 0xE6 == 0xE2 and data[1] & 0x18 != 0x08
    if frame or data[:3] == b"ID3":
        return "mp3"
    if data[4:8] == b"ftyp":
        return None if is_mp4_image(data) else "mp4"
    kinds: dict[bytes, Kind] = {
        b"fLaC": "flac",
        b"OggS": "ogg",
        b"\x1a\x45\xdf\xa3": "matroska",
    }
    return kinds.get(data[:4])


def is_plain_wav(data: bytes) -> bool:
    """Whether it is a WAV file of samples as they are, which no decoder has to unfold."""
    order = _RIFF.get(data[:4])
    if order is None or kind_of(data) != "wav":
        return False
    for name, start, size in _chunks(data, order):
        if name == b"fmt ":
            code = _half(data, start, order)
            if code == _EXTENSIBLE and size >= 26:
                code = _half(data, start + 24, order)
            return code in _PLAIN_CODES
        if name == b"data":
            return False
    return False


def check_channels(channels: int) -> None:
    """Refuse a sound of more than MAX_CHANNELS.

    Raises:
        TooLargeError: it has more.
    """
    if channels > MAX_CHANNELS:
        raise TooLargeError(f"the sound has {channels} channels; allowed: {MAX_CHANNELS}")


def _chunks(data: bytes, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Name, beginning and size of each chunk."""
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from(f"{order}4sI", data, at)
        yield name, at + 8, size
        at += 8 + size + size % 2


def _half(data: bytes, at: int, order: str) -> int:
    return int(struct.unpack_from(f"{order}H", data, at)[0]) if at + 2 <= len(data) else 0
