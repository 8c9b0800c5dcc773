"""A clip to the frames that the graph takes: MP4 or MOV, WebM or Matroska, AVI, and nothing else.

By OpenCV's FFmpeg. The bytes are untrusted, so the kind is told from the first of them before it
sees any: it would also read playlists, and those name other files and addresses. Frames are walked
one by one and only those wanted are converted, each at once to the graph's size, so memory follows
the frames that are kept. Containers often miscount their frames: what a walk finds is what counts.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

# refusals are reported by exceptions; FFmpeg would write to stderr at a client's will
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.errors import DecodeError, InputError, TooLargeError
from runtime.preprocess import preprocess
from runtime.steps import Step

FORMATS = "MP4, MOV, WebM, Matroska, AVI"
_QUICKTIME = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
_BELIEVABLE_FPS = (1.0, 240.0)  # of a header; outside, it is not asked how long the clip is


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest clip that is taken."""

    frames: int = 3600  # walked; a minute at 60 a second
    seconds: float = 60.0  # told from the header, where its frame rate can be believed
    pixels: int = 4096 * 2304  # of one frame


@dataclass(frozen=True, slots=True)
class Sampled:
    """The frames taken of a clip."""

    frames: NDArray[np.uint8]  # (count, H, W, C) as the steps leave them; RGB without any
    indices: tuple[int, ...]  # the number of each in the clip, from 0
    clip_frames: int  # how many the clip has


def frame_indices(clip_frames: int, count: int) -> tuple[int, ...]:
    """Which of the frames of a clip are taken: evenly, the first and the last among them.

    A clip of fewer frames than `count` gives all of them, then its last again.
    """
    if clip_frames < count:
        return (*range(clip_frames), *[clip_frames - 1] * (count - clip_frames))
    return tuple(i * (clip_frames - 1) // max(1, count - 1) for i in range(count))


def sample_frames(
    data: bytes, *, count: int, steps: Sequence[Step] = (), limits: Limits | None = None
) -> Sampled:
    """Decode the wanted frames of a clip, upright, and put each through the steps.

    A clip that is cut off is read as far as it goes.

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
        found = f"begins with bytes {data[:8].hex(' ')}" if data else "is empty"
        raise DecodeError(f"the video {found}; allowed: {FORMATS}")
    limits = limits or Limits()
    try:
        with _file_of(data) as path:
            claimed = _claimed_frames(path, limits)
            taken = _walk(path, frame_indices(claimed, count), steps, limits)
            if taken.clip_frames != claimed and taken.clip_frames:
                wanted = frame_indices(taken.clip_frames, count)
                taken = _walk(path, wanted, steps, limits)
    except (MemoryError, cv2.error) as error:
        raise _refusal(error, len(data)) from None
    if not taken.clip_frames or len(taken.indices) != count:
        raise DecodeError(f"the video holds no frame that can be decoded; allowed: {FORMATS}")
    return taken


def sample_array(clip: NDArray[np.uint8], *, count: int, steps: Sequence[Step] = ()) -> Sampled:
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
    return Sampled(np.stack([preprocess(clip[i], steps) for i in indices]), indices, len(clip))


def _is_known(data: bytes) -> bool:
    if data[:4] == b"RIFF":
        return data[8:11] == b"AVI"
    return data[:4] == b"\x1a\x45\xdf\xa3" or data[4:8] in _QUICKTIME


def _refusal(error: MemoryError | cv2.error, size_bytes: int) -> Exception:
    if isinstance(error, cv2.error) and error.code != cv2.Error.StsNoMem:
        return DecodeError(f"the video cannot be decoded; allowed: {FORMATS}")
    return TooLargeError(f"video of {size_bytes} bytes needs more memory than is free")


@contextmanager
def _file_of(data: bytes) -> Iterator[str]:
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


@contextmanager
def _opened(path: str) -> Iterator[cv2.VideoCapture]:
    # one thread: the runs of other requests go beside
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    try:
        if not capture.isOpened():
            raise DecodeError(f"the video cannot be decoded; allowed: {FORMATS}")
        yield capture
    finally:
        capture.release()


def _claimed_frames(path: str, limits: Limits) -> int:
    """What the header says of the number of frames, at least 1; over a limit it is refused."""
    with _opened(path) as capture:
        width, height = (
            int(capture.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        frames, fps = (capture.get(p) for p in (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FPS))
    _check_pixels(height, width, limits)
    if frames > limits.frames:
        raise TooLargeError(f"the video has {frames:.0f} frames; allowed: {limits.frames}")
    if _BELIEVABLE_FPS[0] <= fps <= _BELIEVABLE_FPS[1] and frames > limits.seconds * fps:
        found = f"{frames / fps:.1f} s"
        raise TooLargeError(f"the video is {found} long; allowed: {limits.seconds:g} s")
    return max(1, int(frames))


def _check_pixels(height: int, width: int, limits: Limits) -> None:
    if height * width > limits.pixels:
        size = f"{width} x {height} px"
        raise TooLargeError(f"the video has frames of {size}; allowed: {limits.pixels} px in all")


def _walk(path: str, wanted: Sequence[int], steps: Sequence[Step], limits: Limits) -> Sampled:
    """Walk a clip to its end; fewer than `wanted` are taken where that comes early."""
    kept: dict[int, NDArray[np.uint8]] = {}
    walked = 0
    with _opened(path) as capture:
        while capture.grab():
            if walked in wanted:
                found, frame = capture.retrieve()
                if not found:
                    break
                _check_pixels(frame.shape[0], frame.shape[1], limits)  # it may change within a clip
                rgb = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
                kept[walked] = preprocess(rgb, steps)
            walked += 1
            if walked > limits.frames:
                raise TooLargeError(f"the video has more frames than allowed: {limits.frames}")
    indices = tuple(i for i in wanted if i in kept)
    frames = np.stack([kept[i] for i in indices]) if indices else np.empty((0, 0, 0, 3), np.uint8)
    return Sampled(frames, indices, walked)
