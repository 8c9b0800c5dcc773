"""Sample the frames that a graph takes from a clip: MP4, MOV, WebM, Matroska or AVI.

OpenCV's FFmpeg decodes. It would also read playlists, which name other files and addresses, so the
first bytes of an untrusted file decide its container before FFmpeg sees it. Only the sampled frames
are converted to RGB, a chunk at a time, and at once resized for the graph: memory depends on the
number of sampled frames, not on the length of the clip. Containers often miscount their frames, so
the number of frames that can be decoded counts.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.arrays import Image
from runtime.artifact.steps import Step
from runtime.errors import DecodeError, InputError, TooLargeError
from runtime.media.boxes import track_headers
from runtime.media.images.preprocess import preprocess
from runtime.media.signatures import describe_content, is_mp4_image
from runtime.media.video import reader
from runtime.media.video.reader import (
    CODECS,
    FORMATS,
    Deadline,
    DecodedFrame,
    Timeline,
    check_frame_size,
)
from runtime.media.video.reader import VideoLimits as VideoLimits

_QUICKTIME_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
_MAX_PIXEL_ASPECT = 8.0  # 2 is the widest that cameras and broadcasters use
IMPLAUSIBLE_ASPECT = "the video says that its pixels are more than 8 times longer than wide or high"
# audio in the container of MP4, though FFmpeg finds its cover picture
_AUDIO_BRANDS = (b"M4A ", b"M4B ", b"M4P ")


@dataclass(frozen=True, slots=True)
class SampledFrames:
    """The frames sampled from one clip."""

    frames: NDArray[np.uint8]  # (count, H, W, C) as the last step leaves them; RGB without steps
    indices: tuple[int, ...]  # of each frame in the clip, from 0
    clip_frames: int  # number of frames in the clip
    times_s: tuple[float, ...] = ()  # of each frame, from the first; empty for a decoded clip
    by_seeking: bool = False  # whether the frames between were skipped
    warnings: tuple[str, ...] = ()  # about the file


@dataclass(slots=True)
class _FrameCollector:
    """The sampled frames at the graph's size, and up to a chunk of them at full size."""

    steps: Sequence[Step]
    limits: VideoLimits
    full_size: list[DecodedFrame] = field(default_factory=list)
    frames: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    times_ms: dict[int, float] = field(default_factory=dict)
    checksums: dict[int, int] = field(default_factory=dict)  # of the pixels at full size
    pixels: int = 1  # height * width of the last frame
    warnings: dict[str, None] = field(default_factory=dict)  # in order, each once

    def add(self, frame: DecodedFrame) -> None:
        """Take a frame; preprocess the chunk once it is full.

        Raises:
            TooLargeError: the frame is larger than allowed; the size may change within a clip.
        """
        height, width = frame.pixels.shape[:2]
        check_frame_size(height, width, self.limits)
        self.pixels = height * width
        self.checksums[frame.index] = zlib.crc32(np.ascontiguousarray(frame.pixels).data)
        self.full_size.append(frame)
        # a chunk holds no more pixels than one frame of the largest size allowed
        if len(self.full_size) >= min(self.limits.chunk, self.limits.pixels // self.pixels):
            self.preprocess_chunk()

    def preprocess_chunk(self) -> None:
        """Put the frames at full size through the steps, and drop them."""
        for frame in self.full_size:
            cv2.cvtColor(frame.pixels, cv2.COLOR_BGR2RGB, dst=frame.pixels)
            if not _is_plausible(frame.pixel_aspect):
                self.warnings[IMPLAUSIBLE_ASPECT] = None
            square = _square_pixels(frame, self.limits)
            self.frames[frame.index] = preprocess(square, self.steps)
            self.times_ms[frame.index] = frame.time_ms
        self.full_size.clear()

    def check_converted(self, timeline: Timeline) -> None:
        """Check that OpenCV converted the frames; see `runtime.media.video.reader`.

        Raises:
            DecodeError: two frames are equal though the packets between them change the picture.
        """
        for first, last in pairwise(sorted(self.checksums)):
            equal = self.checksums[first] == self.checksums[last]
            if equal and timeline.has_changes(first, last, pixels=self.pixels):
                raise DecodeError(
                    f"the video's frames {first} and {last} come out the same, though its data "
                    "changes: interlaced video is not decoded here; allowed: progressive"
                )

    def result(
        self, indices: Sequence[int], clip_frames: int, *, by_seeking: bool
    ) -> SampledFrames:
        start = self.times_ms[indices[0]]
        times = tuple((self.times_ms[index] - start) / 1000 for index in indices)
        frames = np.stack([self.frames[index] for index in indices])
        return SampledFrames(
            frames, tuple(indices), clip_frames, times, by_seeking, tuple(self.warnings)
        )


def _is_plausible(pixel_aspect: float) -> bool:
    """Return whether pixels of this width / height occur in clips."""
    return 1 / _MAX_PIXEL_ASPECT <= pixel_aspect <= _MAX_PIXEL_ASPECT


def frame_indices(clip_frames: int, count: int) -> tuple[int, ...]:
    """Return the indices of `count` evenly spaced frames, the first and the last included.

    A clip with fewer frames than `count` contributes all of them, then its last one again.
    """
    if clip_frames < count:
        return (*range(clip_frames), *[clip_frames - 1] * (count - clip_frames))
    return tuple(i * (clip_frames - 1) // max(1, count - 1) for i in range(count))


def sample_frames(
    data: bytes, *, count: int, steps: Sequence[Step] = (), limits: VideoLimits | None = None
) -> SampledFrames:
    """Sample a clip evenly, turn the frames upright, and apply the steps to each.

    Where seeking is exact, only the sampled frames and those they are predicted from are decoded,
    elsewhere all frames; the result is the same. A clip that is cut off is sampled over the frames
    that it still has.

    Args:
        data: a whole file; its first bytes decide the container.
        count: number of frames to sample.
        steps: from `Spec.preprocess`; steps for other media are skipped.
        limits: the largest clip accepted; None for the defaults of `VideoLimits`.

    Raises:
        DecodeError: another kind of file, mirrored, interlaced, corrupt, or without any frame.
        TooLargeError: over a limit, or out of memory.
        InputError: a step does not accept frames of this size.
    """
    if not _is_clip(data):
        raise DecodeError(f"the video {describe_content(data)}; allowed: {FORMATS}")
    if _is_mirrored(data):
        raise DecodeError(
            "the video's display matrix mirrors it; allowed: clips that are at most turned"
        )
    try:
        with reader.path_to(data) as path:
            return _sample(path, count, steps, limits or VideoLimits())
    except (MemoryError, cv2.error) as error:
        raise _refusal(error, len(data)) from None


def sample_array(
    clip: NDArray[np.uint8], *, count: int, steps: Sequence[Step] = ()
) -> SampledFrames:
    """Sample a clip that is already decoded, as `sample_frames` does.

    Args:
        clip: (n, H, W, 3) uint8, RGB.
        count: number of frames to sample.
        steps: from `Spec.preprocess`; steps for other media are skipped.

    Raises:
        InputError: another shape or dtype, or a step does not accept frames of this size.
    """
    if clip.dtype != np.uint8 or clip.ndim != 4 or clip.shape[3] != 3 or 0 in clip.shape:
        raise InputError(f"clip is {clip.dtype} {clip.shape}; allowed: uint8 (n, H, W, 3), RGB")
    indices = frame_indices(len(clip), count)
    frames = np.stack([preprocess(clip[index], steps) for index in indices])
    return SampledFrames(frames, indices, len(clip))


def _sample(path: str, count: int, steps: Sequence[Step], limits: VideoLimits) -> SampledFrames:
    """Sample by seeking; decode the whole clip if that is not exact."""
    deadline = Deadline.start(limits)
    timeline = reader.read_timeline(path, limits, deadline)
    clip_frames = max(1, len(timeline.packets))
    indices = frame_indices(clip_frames, count)
    collector = _FrameCollector(steps, limits)
    by_seeking = False
    if timeline.seekable and clip_frames - 1 in indices:
        distinct = sorted(set(indices))
        by_seeking = reader.seek_frames(
            path, distinct, collector.add, timeline=timeline, deadline=deadline
        )
    if not by_seeking:
        clip_frames, collector = _decode_all(path, timeline, count, steps, limits, deadline)
    collector.preprocess_chunk()
    collector.check_converted(timeline)
    return collector.result(frame_indices(clip_frames, count), clip_frames, by_seeking=by_seeking)


def _decode_all(
    path: str,
    timeline: Timeline,
    count: int,
    steps: Sequence[Step],
    limits: VideoLimits,
    deadline: Deadline,
) -> tuple[int, _FrameCollector]:
    """Decode a whole clip; decode it again if its container miscounts the frames.

    Returns:
        The number of frames, and the collector with those to be sampled.
    """
    expected = max(1, len(timeline.packets))
    for _ in range(2):
        collector = _FrameCollector(steps, limits)
        indices = frame_indices(expected, count)
        actual = reader.decode_all(path, indices, collector.add, limits=limits, deadline=deadline)
        if not actual:
            codec = f", coded as {timeline.codec}," if timeline.codec else ""
            allowed = f"allowed: {FORMATS}, with {CODECS}"
            raise DecodeError(f"the video{codec} holds no frame that can be decoded; {allowed}")
        if indices == frame_indices(actual, count):
            return actual, collector
        expected = actual
    raise DecodeError(f"decoding the video twice gave different frame counts; allowed: {FORMATS}")


def _is_clip(data: bytes) -> bool:
    """Return whether the first bytes are those of an allowed container, and of no photo or song."""
    if data[:4] == b"RIFF":
        return data[8:11] == b"AVI"
    if data[:4] == b"\x1a\x45\xdf\xa3":  # Matroska and WebM
        return True
    if data[4:8] == b"ftyp" and (is_mp4_image(data) or data[8:12] in _AUDIO_BRANDS):
        return False
    return data[4:8] in _QUICKTIME_BOXES


def _square_pixels(frame: DecodedFrame, limits: VideoLimits) -> Image:
    """Scale the width of a frame as players do, so that its pixels are as wide as high.

    Raises:
        TooLargeError: the result is larger than allowed.
    """
    height, width = frame.pixels.shape[:2]
    aspect = frame.pixel_aspect
    display_width = max(1, round(width * aspect)) if _is_plausible(aspect) else width
    if display_width == width:
        return frame.pixels
    check_frame_size(height, display_width, limits)
    interpolation = cv2.INTER_LINEAR if display_width > width else cv2.INTER_AREA
    return np.asarray(
        cv2.resize(frame.pixels, (display_width, height), interpolation=interpolation), np.uint8
    )


def _is_mirrored(data: bytes) -> bool:
    """Return whether the display matrix of an MP4 video track mirrors it: OpenCV would turn it.

    Reads the `tkhd` boxes, whose matrix has fixed-point entries a, b, u, c, d, ...; a negative
    determinant mirrors.
    """
    return any(_mirrors(box) for box in track_headers(data))


def _mirrors(box: memoryview) -> bool:
    matrix = 52 if box[:1].tobytes() == b"\x01" else 40
    if len(box) < matrix + 20:
        return False
    a, b, _, c, d = struct.unpack_from(">5i", box, matrix)
    return bool(a * d < b * c)


def _refusal(error: MemoryError | cv2.error, size_bytes: int) -> Exception:
    """Return the error for a failure inside OpenCV."""
    if isinstance(error, cv2.error) and error.code != cv2.Error.StsNoMem:
        return DecodeError(f"the video cannot be decoded; allowed: {FORMATS}")
    return TooLargeError(f"video of {size_bytes} bytes needs more memory than is free")
