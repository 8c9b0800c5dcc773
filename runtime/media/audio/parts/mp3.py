"""MP3: frames without a header of the file, but for a first frame that tells their number."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from runtime.media.audio.parts.part import Part

# kbit/s by the index in the header, of layer III; 0: free format, which has no length
_BITRATES_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_BITRATES_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8000)}
_SYNC = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]")  # of layer III, in MPEG 1, 2 and 2.5
_ID3V1_BYTES = 128
_COUNT_TAGS = (b"Xing", b"Info")


@dataclass(frozen=True, slots=True)
class _Frame:
    size: int  # bytes
    kbit: int  # a second
    samples: int
    rate: int  # Hz
    mono: bool
    has_crc: bool

    @property
    def seconds(self) -> float:
        """Return its length."""
        return self.samples / self.rate

    def continues(self, other: "_Frame") -> bool:
        """Return whether both have one sampling rate and number of channels."""
        return (self.rate, self.mono) == (other.rate, other.mono)


@dataclass(slots=True)
class _Run:
    """Frames of one rate and number of channels; the first of them may tell their count."""

    claimed: int | None  # frames of sound, as the first frame tells; None: it is one of sound
    frame: _Frame  # the last one
    pieces: list[slice] = field(default_factory=list)
    bitrates: set[int] = field(default_factory=set)  # of the frames of sound

    @property
    def claimed_s(self) -> float | None:
        """Return the length that the first frame tells."""
        return None if self.claimed is None else self.claimed * self.frame.seconds

    @property
    def is_miscounted(self) -> bool:
        """Return whether libsndfile would stop before the last frame.

        Without a count it estimates the length by the bitrate of the first frame, and stops there.
        """
        if self.claimed is None:
            return len(self.bitrates) > 1
        return len(self.pieces) - 1 > self.claimed

    def part(self, data: bytes) -> Part:
        """Join the frames, behind a count of them that is right if the one they have is not."""
        head: tuple[bytes, ...] = ()
        pieces = self.pieces
        if self.is_miscounted:
            pieces = pieces if self.claimed is None else pieces[1:]
            head = (_counting_frame(data[pieces[0]][:4], len(pieces)),)
        return Part(b"".join((*head, *(data[piece] for piece in pieces))), self.claimed_s)


def split_mp3(data: bytes) -> Iterator[Part]:
    """Yield parts that begin with a frame, and whose count of frames, if they have one, is right.

    A part begins where a frame tells a count, as the first frame of most files does, and where the
    sampling rate or the number of channels changes. Bytes between the frames are left out: padding,
    tags, and what else lies there.
    """
    runs = list(_runs(data))
    first = runs[0] if len(runs) == 1 and not runs[0].is_miscounted else None
    if first and first.pieces[0].start == _after_tag(data, 0):
        # as it is, with a last frame that is cut off: the decoder gets samples from it
        yield Part(data, first.claimed_s)
    else:
        yield from (run.part(data) for run in runs)


def _runs(data: bytes) -> Iterator[_Run]:
    run: _Run | None = None
    for offset, frame in _frames(data):
        count = _frame_count(data, offset, frame)
        if run and (count is not None or not frame.continues(run.frame)):
            yield run
            run = None
        run = run or _Run(count, frame)
        run.frame = frame
        run.pieces.append(slice(offset, offset + frame.size))
        if count is None:
            run.bitrates.add(frame.kbit)
    if run:
        yield run


def first_frame(data: bytes, offset: int = 0) -> int | None:
    """Return the offset of the first frame at or after `offset` that another frame follows."""
    for match in _SYNC.finditer(data, offset):
        frame = _read_frame(data, match.start())
        if frame and _read_frame(data, match.start() + frame.size):
            return match.start()
    return None


def _counting_frame(header: bytes, count: int) -> bytes:
    """Return a frame without sound that tells the count of the frames after it.

    Args:
        header: of a frame of sound, 4 bytes.
        count: of frames.
    """
    bitrates = _BITRATES_1 if header[1] >> 3 & 3 == 3 else _BITRATES_2
    third = bitrates.index(64) << 4 | header[2] & 0b1100  # no padding
    head = bytes((header[0], header[1] | 1, third, header[3]))  # no checksum
    frame = _read_frame(head + bytes(1 << 11), 0)
    assert frame is not None  # the frame of sound has a valid header
    tag = b"Info" + struct.pack(">II", 1, count)
    return (head + bytes(_side_bytes(frame)) + tag).ljust(frame.size, b"\0")


def _side_bytes(frame: _Frame) -> int:
    """Return the size of the side information, behind which a count of frames stands."""
    if frame.samples == 1152:
        return 17 if frame.mono else 32
    return 9 if frame.mono else 17


def _frames(data: bytes) -> Iterator[tuple[int, _Frame]]:
    offset = 0
    while offset < len(data):
        frame = _read_frame(data, offset)
        if frame:
            yield offset, frame
            offset += frame.size
            continue
        start = first_frame(data, _after_tag(data, offset))
        if start is None:
            return
        offset = start


def _after_tag(data: bytes, offset: int) -> int:
    """Return the end of the ID3 tags at an offset; the offset if there is none."""
    while True:
        if data.startswith(b"TAG", offset):
            offset += _ID3V1_BYTES
        elif data.startswith(b"ID3", offset) and offset + 10 <= len(data):
            high, upper, lower, low = (byte & 127 for byte in data[offset + 6 : offset + 10])
            offset += 10 + (high << 21 | upper << 14 | lower << 7 | low)
        else:
            return offset


def _read_frame(data: bytes, offset: int) -> _Frame | None:
    """Read the header of a frame; None if there is none, or only a part of a frame."""
    if not _SYNC.match(data, offset) or offset + 4 > len(data):
        return None
    second, third, fourth = data[offset + 1 : offset + 4]
    version, bitrate, rate_index = second >> 3 & 3, third >> 4, third >> 2 & 3
    if version not in _RATES or rate_index == 3 or not 0 < bitrate < 15:
        return None
    kbit = (_BITRATES_1 if version == 3 else _BITRATES_2)[bitrate]
    rate, samples = _RATES[version][rate_index], 1152 if version == 3 else 576
    size = samples // 8 * kbit * 1000 // rate + (third >> 1 & 1)
    if offset + size > len(data):
        return None
    return _Frame(size, kbit, samples, rate, fourth >> 6 == 3, has_crc=not second & 1)


def _frame_count(data: bytes, offset: int, frame: _Frame) -> int | None:
    """Return the count of frames that a frame tells in place of sound; None if it tells none."""
    place = offset + 4 + _side_bytes(frame) + 2 * frame.has_crc
    if data[place : place + 4] in _COUNT_TAGS and place + 12 <= len(data):
        flags, count = struct.unpack_from(">II", data, place + 4)
        return count if flags & 1 else None
    if data.startswith(b"VBRI", offset + 36) and offset + 54 <= len(data):
        return int(struct.unpack_from(">I", data, offset + 50)[0])
    return None
