"""Read a clip through OpenCV's FFmpeg: its packets, all its frames, or some by exact seeking.

A container says when each frame is shown. `read_timeline` reads those times without decoding (about
0.01 ms a frame), and `seek_frames` compares them with the times of the frames that it decodes. That
comparison proves that a seek landed on the right frame. OpenCV's own frame numbers do not prove
it: OpenCV computes them from a frame rate, which is wrong for clips of variable frame rate. A clip
in which a decoded frame does not have its time in the container is decoded from its beginning.

OpenCV 5 does not convert interlaced frames. It reports no error and returns uninitialised memory.
`Timeline.has_changes` finds such clips: their frames stay the same while the packets change.
"""

import os
import tempfile
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

# FFmpeg would write to stderr, the server's log, whatever a client's file provokes
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.errors import DecodeError, TooLargeError
from runtime.media.durations import check_duration

FORMATS = "MP4, MOV, WebM, Matroska, AVI"
CODECS = "H.264, H.265, VP8, VP9, MPEG-4, Motion JPEG"  # OpenCV's FFmpeg has no AV1 decoder
# codecs in which every packet is one frame; VP8, for one, also sends frames that are never shown
_PACKET_IS_FRAME = frozenset({"h264", "avc1", "hevc", "hvc1", "hev1", "vp90", "vp09", "mjpg"})
_SEEK_LEAD = 16  # frames before the target at which OpenCV begins to decode
_MAX_SEEK = 300  # frames decoded in one call, which no deadline can interrupt
_MIN_SEEK_SAVING = 8  # frames; a seek that saves fewer takes longer than decoding them
# the most that a packet of an unchanged frame holds, in H.264, H.265, VP8, VP9, MPEG-2 and MPEG-4
_UNCHANGED_BITS, _UNCHANGED_BITS_PER_PIXEL = 512, 0.01
_KEY_FRAME_TOLERANCE = 0.02  # relative difference in size of key frames of the same picture


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """The largest clip that is accepted."""

    frames: int = 3600  # a minute at 60 frames a second
    seconds: float = 60.0  # from the first frame shown to the end of the last
    pixels: int = 4096 * 2304  # height * width of a frame
    deadline_s: float = 30.0  # wall-clock time for all of the decoding
    chunk: int = 1  # frames kept at full size at the same time; fewer if they are large


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment at which decoding a clip is given up."""

    end: float  # as time.monotonic()
    seconds: float  # the whole time allowed

    @classmethod
    def start(cls, limits: VideoLimits) -> "Deadline":
        """Return a deadline `limits.deadline_s` from now."""
        return cls(time.monotonic() + limits.deadline_s, limits.deadline_s)

    def check(self) -> None:
        """Check that the deadline has not passed.

        Raises:
            TooLargeError: it has.
        """
        if time.monotonic() > self.end:
            allowed = f"allowed: {self.seconds:g} s"
            raise TooLargeError(f"the video takes too long to decode; {allowed}")


@dataclass(frozen=True, slots=True, order=True)
class Packet:
    """An encoded frame in the container."""

    time_ms: float  # when the frame is shown
    is_key: bool  # whether decoding can begin with it
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """The packets of a clip in the order in which their frames are shown."""

    packets: tuple[Packet, ...]
    seekable: bool  # whether each packet is a frame, and no two have the same time
    codec: str = ""  # the container's code in ASCII, such as "avc1"; "" if it has none

    @property
    def keys(self) -> list[int]:
        """Return the indices of the key frames, ascending."""
        return [index for index, packet in enumerate(self.packets) if packet.is_key]

    def has_changes(self, first: int, last: int, *, pixels: int) -> bool:
        """Return whether the packets after frame `first`, up to `last`, change the picture.

        Sizes decide. A packet that says "as before" is small; if all packets are key frames, the
        same picture gives the same size. Used to detect frames that OpenCV did not convert.

        Args:
            first: index of a frame.
            last: index of a later frame.
            pixels: height * width of a frame.
        """
        between = self.packets[first + 1 : last + 1]
        sizes = [packet.size_bytes for packet in between if not packet.is_key]
        if between and not sizes:
            before, after = self.packets[first].size_bytes, between[-1].size_bytes
            return abs(after - before) > _KEY_FRAME_TOLERANCE * before
        return 8 * sum(sizes) > len(sizes) * (_UNCHANGED_BITS + _UNCHANGED_BITS_PER_PIXEL * pixels)


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """A decoded frame of a clip at its full size."""

    index: int  # in the clip, from 0
    time_ms: float  # by the container's clock, which need not begin at 0
    pixels: NDArray[np.uint8]  # (H, W, 3), BGR, upright
    pixel_aspect: float = 1.0  # width / height of a pixel as players show it


FrameSink = Callable[[DecodedFrame], None]


@contextmanager
def path_to(data: bytes) -> Iterator[str]:
    """Yield a path from which the bytes can be read while the block runs.

    OpenCV can also read bytes through callbacks, but FFmpeg then crashes on damaged files. The file
    is in memory (memfd) on Linux, since a container's file system may be read-only.
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


def read_timeline(path: str, limits: VideoLimits, deadline: Deadline) -> Timeline:
    """Read the packets of all frames without decoding any.

    The packets decide the length of a clip, not its header: a part of a stream keeps the clock of
    the stream, and FFmpeg then counts the frames from the beginning of that.

    Raises:
        DecodeError: the file is not a clip.
        TooLargeError: the size in the header, or the packets exceed a limit.
    """
    packets: list[Packet] = []
    with _open_capture(path, packets=True) as capture:
        _check_size(capture, limits)
        fourcc = (int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF).to_bytes(4, "little")
        while capture.grab():
            deadline.check()
            packets.append(_read_packet(capture))
            check_frame_count(len(packets), limits)
    packets.sort()
    if len(packets) > 1:
        # the last frame is shown as long as the others, on average
        span_ms = (packets[-1].time_ms - packets[0].time_ms) * len(packets) / (len(packets) - 1)
        check_duration("the video", round(span_ms / 1000, 3), limits.seconds)
    times_differ = len({packet.time_ms for packet in packets}) == len(packets)
    code = fourcc.decode("latin-1").rstrip("\0 ")
    seekable = times_differ and code.lower() in _PACKET_IS_FRAME
    name = "AV1" if code == "AV01" else code
    codec = name if name.isascii() and name.isalnum() else ""
    return Timeline(tuple(packets), seekable, codec)


def decode_all(
    path: str,
    indices: Sequence[int],
    sink: FrameSink,
    *,
    limits: VideoLimits,
    deadline: Deadline,
) -> int:
    """Decode a clip to its end and return the number of its frames.

    Args:
        path: a file.
        indices: the frames that `sink` gets; those beyond the end of the clip are ignored.
        sink: called with each of these frames, in the order of the clip.
        limits: the most frames.
        deadline: for the decoding.

    Raises:
        DecodeError: the file is not a clip.
        TooLargeError: too many frames, or the deadline has passed.
    """
    count = 0
    with _open_capture(path) as capture:
        while capture.grab():
            deadline.check()
            if count in indices and not _retrieve(capture, count, sink):
                break
            count += 1
            check_frame_count(count, limits)
    return count


def seek_frames(
    path: str,
    indices: Sequence[int],
    sink: FrameSink,
    *,
    timeline: Timeline,
    deadline: Deadline,
) -> bool:
    """Decode the frames at `indices` and only those that they are predicted from.

    Args:
        path: a file.
        indices: of frames, ascending and distinct, the first and the last of the clip included.
        sink: called with each of these frames.
        timeline: the packets of the clip.
        deadline: for the decoding.

    Returns:
        Whether every decoded frame had the time of its packet and the clip ended after the last. If
        not, `sink` may have got other frames than those at `indices`.

    Raises:
        DecodeError: the file is not a clip.
        TooLargeError: the deadline has passed.
    """
    index_of_time = {packet.time_ms: index for index, packet in enumerate(timeline.packets)}
    keys = timeline.keys
    with _open_capture(path) as capture:
        position: int | None = -1  # index of the last grabbed frame; None after a seek
        for index in indices:
            deadline.check()
            if position is not None and _saves_decoding(keys, position, index):
                capture.set(cv2.CAP_PROP_POS_MSEC, timeline.packets[index].time_ms)
                position = None
            while position != index:
                deadline.check()
                if not capture.grab():
                    return False
                actual = index_of_time.get(capture.get(cv2.CAP_PROP_POS_MSEC))
                expected = actual if position is None else position + 1
                if actual is None or actual != expected or actual > index:
                    return False
                position = actual
            if not _retrieve(capture, index, sink):
                return False
        return not capture.grab()


def check_frame_count(count: int, limits: VideoLimits) -> None:
    """Check the number of frames read so far.

    Raises:
        TooLargeError: more than `limits.frames`.
    """
    if count > limits.frames:
        raise TooLargeError(f"the video has more frames than allowed: {limits.frames}")


def check_frame_size(height: int, width: int, limits: VideoLimits) -> None:
    """Check the size of a frame in px.

    Raises:
        TooLargeError: more than `limits.pixels`.
    """
    if height * width > limits.pixels:
        size = f"{width} x {height} px"
        raise TooLargeError(f"the video has frames of {size}; allowed: {limits.pixels} px in all")


def _saves_decoding(keys: Sequence[int], position: int, index: int) -> bool:
    """Return whether seeking to `index` decodes enough frames fewer than reading on."""
    place = bisect_right(keys, max(0, index - _SEEK_LEAD))
    if not place:
        return False
    start = keys[place - 1]
    return start - position > _MIN_SEEK_SAVING and index - start <= _MAX_SEEK


def _read_packet(capture: cv2.VideoCapture) -> Packet:
    ok, data = capture.retrieve()
    is_key = capture.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME) != 0
    return Packet(capture.get(cv2.CAP_PROP_POS_MSEC), is_key, data.size if ok else 0)


def _retrieve(capture: cv2.VideoCapture, index: int, sink: FrameSink) -> bool:
    """Convert the grabbed frame and pass it to `sink`; return whether OpenCV had a picture."""
    ok, pixels = capture.retrieve()
    if ok:
        time_ms = capture.get(cv2.CAP_PROP_POS_MSEC)
        upright = pixels.astype(np.uint8, copy=False)
        sink(DecodedFrame(index, time_ms, upright, _pixel_aspect(capture)))
    return ok


@contextmanager
def _open_capture(path: str, *, packets: bool = False) -> Iterator[cv2.VideoCapture]:
    """Open a clip with OpenCV's FFmpeg.

    Args:
        path: a file.
        packets: whether `retrieve` returns encoded packets (CAP_PROP_FORMAT -1), not pictures.

    Raises:
        DecodeError: FFmpeg finds no video in it.
    """
    # one thread: the server decodes other requests at the same time
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


def _check_size(capture: cv2.VideoCapture, limits: VideoLimits) -> None:
    """Check the size that the header claims, before any packet is read."""
    width, height = (
        int(capture.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    )
    check_frame_size(height, width, limits)


def _pixel_aspect(capture: cv2.VideoCapture) -> float:
    """Return width / height of a pixel of an upright frame, 1 where the file says nothing.

    OpenCV knows the turn of a clip only once a frame is decoded.
    """
    wide, high = (capture.get(p) for p in (cv2.CAP_PROP_SAR_NUM, cv2.CAP_PROP_SAR_DEN))
    if wide <= 0 or high <= 0:
        return 1.0
    turned = capture.get(cv2.CAP_PROP_ORIENTATION_META) % 180 != 0
    return high / wide if turned else wide / high
