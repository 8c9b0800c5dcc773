"""A clip to the frames that the graph takes: MP4 or MOV, WebM or Matroska, AVI, and nothing else.

By OpenCV's FFmpeg. The bytes are untrusted, so the kind is told from the first of them before it
sees any: it would also read playlists, and those name other files and addresses. Of the frames
only those wanted are converted, a chunk at a time, at once to the graph's size, so memory follows
the frames that are kept. Containers often miscount their frames: what can be decoded counts.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.artifact.steps import Step
from runtime.errors import DecodeError, InputError, TooLargeError
from runtime.media.images.preprocess import preprocess
from runtime.media.signatures import found_in, is_mp4_image
from runtime.media.video import reader as clips
from runtime.media.video.reader import CODECS, FORMATS, Clock, Frame, Timeline, check_pixels
from runtime.media.video.reader import VideoLimits as VideoLimits

_QUICKTIME = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
# MP4's relatives that are no clips, though FFmpeg finds a picture in them
_SONGS = (b"M4A ", b"M4B ", b"M4P ")


@dataclass(frozen=True, slots=True)
class SampledFrames:
    """The frames taken of a clip."""

    frames: NDArray[np.uint8]  # (count, H, W, C) as the steps leave them; RGB without any
    indices: tuple[int, ...]  # the number of each in the clip, from 0
    clip_frames: int  # how many the clip has
    times_s: tuple[float, ...] = ()  # of each, from the first frame; empty: nobody knows
    by_seeking: bool = False  # the frames between were not decoded


@dataclass(slots=True)
class _Kept:
    """Frames at the graph's size, and up to a chunk of them that are not yet."""

    steps: Sequence[Step]
    limits: VideoLimits
    waiting: list[Frame] = field(default_factory=list)
    frames: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    times_ms: dict[int, float] = field(default_factory=dict)
    checksums: dict[int, int] = field(default_factory=dict)  # of the frames at their full size
    pixels: int = 1  # of the last frame

    def keep(self, frame: Frame) -> None:
        height, width = frame.pixels.shape[:2]
        check_pixels(height, width, self.limits)  # it may change within a clip
        self.pixels = height * width
        self.checksums[frame.index] = zlib.crc32(np.ascontiguousarray(frame.pixels).data)
        self.waiting.append(frame)
        # a chunk never takes more memory than one frame of the largest size
        if len(self.waiting) >= min(self.limits.chunk, self.limits.pixels // self.pixels):
            self.shrink()

    def shrink(self) -> None:
        for frame in self.waiting:
            cv2.cvtColor(frame.pixels, cv2.COLOR_BGR2RGB, dst=frame.pixels)
            self.frames[frame.index] = preprocess(frame.pixels, self.steps)
            self.times_ms[frame.index] = frame.time_ms
        self.waiting.clear()

    def check_converted(self, timeline: Timeline) -> None:
        """Refuse pictures that OpenCV did not write; see `runtime.media.video.reader`."""
        for first, last in pairwise(sorted(self.checksums)):
            same = self.checksums[first] == self.checksums[last]
            if same and timeline.changes(first, last, pixels=self.pixels):
                raise DecodeError(
                    f"the video's frames {first} and {last} come out the same, though its data "
                    "changes: interlaced video is not decoded here; allowed: progressive"
                )

    def sampled(
        self, indices: Sequence[int], clip_frames: int, *, by_seeking: bool
    ) -> SampledFrames:
        start = self.times_ms[indices[0]]
        times = tuple((self.times_ms[index] - start) / 1000 for index in indices)
        frames = np.stack([self.frames[index] for index in indices])
        return SampledFrames(frames, tuple(indices), clip_frames, times, by_seeking)


def frame_indices(clip_frames: int, count: int) -> tuple[int, ...]:
    """Which of the frames of a clip are taken: evenly, the first and the last among them.

    A clip of fewer frames than `count` gives all of them, then its last again.
    """
    if clip_frames < count:
        return (*range(clip_frames), *[clip_frames - 1] * (count - clip_frames))
    return tuple(i * (clip_frames - 1) // max(1, count - 1) for i in range(count))


def sample_frames(
    data: bytes, *, count: int, steps: Sequence[Step] = (), limits: VideoLimits | None = None
) -> SampledFrames:
    """Decode the wanted frames of a clip, upright, and put each through the steps.

    Where seeking is exact only the frames wanted, and those they are made from, are decoded;
    elsewhere all are. The frames are the same. A clip that is cut off is read as far as it goes.

    Args:
        data: a whole file, told by its content.
        count: how many frames.
        steps: what is done to each; those that are not about pictures are passed over.
        limits: the largest clip taken; None for the defaults.

    Raises:
        DecodeError: of another kind, corrupt, or without any frame.
        TooLargeError: over a limit, or out of memory.
        InputError: a step does not take frames of this size.
    """
    if not _is_known(data):
        raise DecodeError(f"the video {found_in(data)}; allowed: {FORMATS}")
    if _is_mirrored(data):
        raise DecodeError("the video is to be shown mirrored, which is not done here")
    try:
        with clips.file_of(data) as path:
            return _sampled(path, count, steps, limits or VideoLimits())
    except (MemoryError, cv2.error) as error:
        raise _refusal(error, len(data)) from None


def sample_array(
    clip: NDArray[np.uint8], *, count: int, steps: Sequence[Step] = ()
) -> SampledFrames:
    """The same of a clip that is decoded already.

    Args:
        clip: (n, H, W, 3) uint8, RGB.
        count: how many frames.
        steps: what is done to each.

    Raises:
        InputError: another shape or dtype, or a step does not take frames of this size.
    """
    if clip.dtype != np.uint8 or clip.ndim != 4 or clip.shape[3] != 3 or 0 in clip.shape:
        raise InputError(f"clip is {clip.dtype} {clip.shape}; allowed: uint8 (n, H, W, 3), RGB")
    indices = frame_indices(len(clip), count)
    return SampledFrames(
        np.stack([preprocess(clip[i], steps) for i in indices]), indices, len(clip)
    )


def _sampled(path: str, count: int, steps: Sequence[Step], limits: VideoLimits) -> SampledFrames:
    clock = Clock.start(limits)
    timeline = clips.read_timeline(path, limits, clock)
    clip_frames = max(1, len(timeline.packets))
    indices, kept = frame_indices(clip_frames, count), _Kept(steps, limits)
    by_seeking = False
    if timeline.seekable and clip_frames - 1 in indices:
        wanted = sorted(set(indices))
        by_seeking = clips.seek(path, wanted, kept.keep, timeline=timeline, clock=clock)
    if not by_seeking:
        clip_frames, kept = _walked(path, timeline, count, steps, limits, clock)
    kept.shrink()
    kept.check_converted(timeline)
    return kept.sampled(frame_indices(clip_frames, count), clip_frames, by_seeking=by_seeking)


def _walked(
    path: str,
    timeline: Timeline,
    count: int,
    steps: Sequence[Step],
    limits: VideoLimits,
    clock: Clock,
) -> tuple[int, _Kept]:
    """Walk a clip; again where it has not as many frames as its container says."""
    claimed = max(1, len(timeline.packets))
    for _ in range(2):
        kept, wanted = _Kept(steps, limits), frame_indices(claimed, count)
        found = clips.walk(path, wanted, kept.keep, limits=limits, clock=clock)
        if not found:
            coded = f", coded as {timeline.codec}," if timeline.codec else ""
            allowed = f"allowed: {FORMATS}, with {CODECS}"
            raise DecodeError(f"the video{coded} holds no frame that can be decoded; {allowed}")
        if wanted == frame_indices(found, count):
            return found, kept
        claimed = found
    raise DecodeError(f"the video does not decode twice to the same; allowed: {FORMATS}")


def _is_known(data: bytes) -> bool:
    if data[:4] == b"RIFF":
        return data[8:11] == b"AVI"
    if data[:4] == b"\x1a\x45\xdf\xa3":
        return True
    if data[4:8] == b"ftyp" and (is_mp4_image(data) or data[8:12] in _SONGS):
        return False
    return data[4:8] in _QUICKTIME


def _is_mirrored(data: bytes) -> bool:
    """Whether a track of an MP4 is mirrored: OpenCV would turn it round instead."""
    place = data.find(b"tkhd")
    while place >= 0:
        matrix = place + (56 if data[place + 4 : place + 5] == b"\x01" else 44)
        if len(data) >= matrix + 20:
            a, b, _, c, d = struct.unpack_from(">5i", data, matrix)
            if a * d < b * c:
                return True
        place = data.find(b"tkhd", place + 1)
    return False


def _refusal(error: MemoryError | cv2.error, size_bytes: int) -> Exception:
    if isinstance(error, cv2.error) and error.code != cv2.Error.StsNoMem:
        return DecodeError(f"the video cannot be decoded; allowed: {FORMATS}")
    return TooLargeError(f"video of {size_bytes} bytes needs more memory than is free")
