"""A clip as OpenCV's FFmpeg reads it: its frames' times, walked in order, or sought exactly.

The container says when each frame is shown, which is read without decoding any (about 0.01 ms a
frame). Those times prove where a seek has landed: OpenCV's own frame numbers are guesses from a
frame rate, wrong where that varies. A clip whose decoded frames do not bear its container's times
one by one is never sought.

OpenCV 5 does not convert interlaced pictures, and says nothing: it hands over whatever its memory
held. Such clips are told by pictures that stay the same while the container's packets change.
"""

import os
import tempfile
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

# refusals are reported by exceptions; FFmpeg would write to stderr at a client's will
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.errors import DecodeError, TooLargeError
from runtime.media.durations import check_duration

FORMATS = "MP4, MOV, WebM, Matroska, AVI"
CODECS = "H.264, H.265, VP8, VP9, MPEG-4, Motion JPEG"  # what is in them; AV1 has no decoder here
_BELIEVABLE_FPS = (1.0, 240.0)  # of a header; outside, it is not asked how long the clip is
# codecs of which every packet is one picture; VP8, say, also sends pictures that are never shown
_PACKET_IS_FRAME = frozenset({"h264", "avc1", "hevc", "hvc1", "hev1", "vp90", "vp09", "mjpg"})
_LEAD = 16  # frames before the one asked for, where OpenCV begins to decode
_LONGEST_SEEK = 300  # frames decoded within one call, which no deadline can interrupt
_WORTH = 8  # frames that a seek must save to pay for itself
# what a packet holds at most where nothing changes, by H.264, H.265, VP8, VP9, MPEG-2 and MPEG-4
_STILL_BITS, _STILL_BITS_PER_PIXEL = 512, 0.01
_STILL_SIZES = 0.02  # how much the sizes of two pictures differ at most, where none needs another


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """The largest clip that is taken."""

    frames: int = 3600  # a minute at 60 a second
    seconds: float = 60.0  # from the first frame shown to the last
    pixels: int = 4096 * 2304  # of one frame
    deadline_s: float = 30.0  # of wall clock, for all of the decoding
    chunk: int = 1  # frames held at their full size at once, fewer where they are large


@dataclass(frozen=True, slots=True)
class Clock:
    """When to give up."""

    ends: float  # of time.monotonic
    deadline_s: float

    @classmethod
    def start(cls, limits: VideoLimits) -> "Clock":
        """Begin to count."""
        return cls(time.monotonic() + limits.deadline_s, limits.deadline_s)

    def check(self) -> None:
        """Go on, or not.

        Raises:
            TooLargeError: the time is over.
        """
        if time.monotonic() > self.ends:
            allowed = f"allowed: {self.deadline_s:g} s"
            raise TooLargeError(f"the video takes too long to decode; {allowed}")


@dataclass(frozen=True, slots=True, order=True)
class Packet:
    """One frame of a clip, not decoded."""

    time_ms: float  # when it is shown
    is_key: bool  # decoding can begin with it
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """The packets of a clip in the order in which they are shown."""

    packets: tuple[Packet, ...]
    seekable: bool  # a packet is a frame, and no two have the same time
    codec: str = ""  # as the container has it, in ASCII; "" where it has none

    @property
    def keys(self) -> list[int]:
        """Frames at which decoding can begin, ascending."""
        return [index for index, packet in enumerate(self.packets) if packet.is_key]

    def changes(self, first: int, last: int, *, pixels: int) -> bool:
        """Whether the packets after frame `first`, to `last`, hold more than "as before"."""
        between = self.packets[first + 1 : last + 1]
        sizes = [packet.size_bytes for packet in between if not packet.is_key]
        if between and not sizes:
            before, after = self.packets[first].size_bytes, between[-1].size_bytes
            return abs(after - before) > _STILL_SIZES * before
        return 8 * sum(sizes) > len(sizes) * (_STILL_BITS + _STILL_BITS_PER_PIXEL * pixels)


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded frame."""

    index: int  # in the clip, from 0
    time_ms: float  # of the container's clock, which need not begin with 0
    pixels: NDArray[np.uint8]  # (H, W, 3), BGR, upright


Keep = Callable[[Frame], None]


@contextmanager
def file_of(data: bytes) -> Iterator[str]:
    """A path to the bytes: FFmpeg through OpenCV crashes on damaged files that it reads by calls.

    In memory where the system can, as the file system of a container may be read-only.
    """
    if not hasattr(os, "memfd_create"):
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            yield file.name
        return
    with os.fdopen(os.memfd_create("clip"), "wb") as file:
        file.write(data)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"


def read_timeline(path: str, limits: VideoLimits, clock: Clock) -> Timeline:
    """Read the packets of all frames; none is decoded.

    Raises:
        DecodeError: no clip.
        TooLargeError: over a limit, of which the header is asked first.
    """
    packets: list[Packet] = []
    with _opened(path, packets=True) as capture:
        _check_header(capture, limits)
        codec = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little")
        while capture.grab():
            clock.check()
            packets.append(_packet(capture))
            check_frames(len(packets), limits)
    packets.sort()
    if packets:
        seconds = (packets[-1].time_ms - packets[0].time_ms) / 1000
        check_duration("the video", seconds, limits.seconds)
    distinct = len({packet.time_ms for packet in packets}) == len(packets)
    name = codec.decode("latin-1").rstrip("\0 ")
    seekable = distinct and name.lower() in _PACKET_IS_FRAME
    named = "AV1" if name == "AV01" else name
    return Timeline(tuple(packets), seekable, named if named.isascii() and named.isalnum() else "")


def walk(path: str, wanted: Sequence[int], keep: Keep, *, limits: VideoLimits, clock: Clock) -> int:
    """Decode a clip to its end; gives how many frames it has.

    Args:
        path: of the clip.
        wanted: indices of the frames that are kept, as far as the clip goes.
        keep: is given those.
        limits: of the frames walked.
        clock: of the decoding.

    Raises:
        DecodeError: no clip.
        TooLargeError: over a limit.
    """
    walked = 0
    with _opened(path) as capture:
        while capture.grab():
            clock.check()
            if walked in wanted and not _retrieved(capture, walked, keep):
                break
            walked += 1
            check_frames(walked, limits)
    return walked


def seek(path: str, wanted: Sequence[int], keep: Keep, *, timeline: Timeline, clock: Clock) -> bool:
    """Decode the wanted frames and what leads to them, and no others.

    Args:
        path: of the clip.
        wanted: indices of the frames, ascending, each once, the first and the last among them.
        keep: is given each.
        timeline: of the clip.
        clock: of the decoding.

    Returns:
        Whether every decoded frame had the time of its place and the clip ended after the last;
        if not, what was kept may be of other frames.

    Raises:
        DecodeError: no clip.
        TooLargeError: over a limit.
    """
    places = {packet.time_ms: index for index, packet in enumerate(timeline.packets)}
    keys = timeline.keys
    with _opened(path) as capture:
        at: int | None = -1  # the frame grabbed last; None: a seek says only where to look
        for index in wanted:
            clock.check()
            if at is not None and _saves(keys, at, index):
                capture.set(cv2.CAP_PROP_POS_MSEC, timeline.packets[index].time_ms)
                at = None
            while at != index:
                clock.check()
                found = places.get(capture.get(cv2.CAP_PROP_POS_MSEC)) if capture.grab() else None
                expected = found if at is None else at + 1
                if found is None or found != expected or found > index:
                    return False
                at = found
            if not _retrieved(capture, index, keep):
                return False
        return not capture.grab()


def check_frames(count: int, limits: VideoLimits) -> None:
    """Refuse a clip of too many frames.

    Raises:
        TooLargeError: it has.
    """
    if count > limits.frames:
        raise TooLargeError(f"the video has more frames than allowed: {limits.frames}")


def check_pixels(height: int, width: int, limits: VideoLimits) -> None:
    """Refuse frames that are too large.

    Raises:
        TooLargeError: they are.
    """
    if height * width > limits.pixels:
        size = f"{width} x {height} px"
        raise TooLargeError(f"the video has frames of {size}; allowed: {limits.pixels} px in all")


def _saves(keys: Sequence[int], at: int, index: int) -> bool:
    """Whether seeking decodes fewer frames than walking on."""
    place = bisect_right(keys, max(0, index - _LEAD))
    if not place:
        return False
    start = keys[place - 1]
    return start - at > _WORTH and index - start <= _LONGEST_SEEK


def _packet(capture: cv2.VideoCapture) -> Packet:
    found, data = capture.retrieve()
    is_key = capture.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME) != 0
    return Packet(capture.get(cv2.CAP_PROP_POS_MSEC), is_key, data.size if found else 0)


def _retrieved(capture: cv2.VideoCapture, index: int, keep: Keep) -> bool:
    found, pixels = capture.retrieve()
    if found:
        at = capture.get(cv2.CAP_PROP_POS_MSEC)
        keep(Frame(index, at, pixels.astype(np.uint8, copy=False)))
    return found


@contextmanager
def _opened(path: str, *, packets: bool = False) -> Iterator[cv2.VideoCapture]:
    # one thread: the runs of other requests go beside
    parameters = [cv2.CAP_PROP_N_THREADS, 1, *([cv2.CAP_PROP_FORMAT, -1] if packets else [])]
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, parameters)
    try:
        if not capture.isOpened():
            raise DecodeError(
                f"the video cannot be decoded, or holds no pictures; allowed: {FORMATS}"
            )
        yield capture
    finally:
        capture.release()


def _check_header(capture: cv2.VideoCapture, limits: VideoLimits) -> None:
    """Refuse what the header says to be over a limit."""
    width, height = (
        int(capture.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    )
    frames, fps = (capture.get(p) for p in (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FPS))
    check_pixels(height, width, limits)
    if frames > limits.frames:
        raise TooLargeError(f"the video has {frames:.0f} frames; allowed: {limits.frames}")
    if _BELIEVABLE_FPS[0] <= fps <= _BELIEVABLE_FPS[1]:
        check_duration("the video", frames / fps, limits.seconds)
