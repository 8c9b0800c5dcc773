"""Decode WebM and M4A, as browsers and phones record, with the optional package av (PyAV).

PyAV is 102 MB, so the image does not hold it. It decodes with FFmpeg, which would also read
playlists, and those name other files and addresses: FFmpeg is therefore told the container.
"""

import importlib.util
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from runtime.errors import DecodeError, InputError
from runtime.media.audio.containers import BLOCK_FRAMES, FORMATS, Container, check_channels

if TYPE_CHECKING:
    import av

_CONTAINER_NAMES = {"matroska": "WebM or Matroska", "mp4": "MP4 or M4A"}
_FULL_SCALE = {"int16": 2.0**15, "int32": 2.0**31, "uint8": 2.0**7}  # by dtype; floats have 1


def is_installed() -> bool:
    """Return whether PyAV can be imported."""
    return importlib.util.find_spec("av") is not None


@contextmanager
def open_sound(
    data: bytes, container: Container
) -> Iterator[tuple[int, Iterator[NDArray[np.float32]]]]:
    """Open the first audio stream of a file.

    Yields:
        Its sampling rate in Hz, and an iterator of its blocks, (S, C) float32, full scale 1.

    Raises:
        DecodeError: PyAV is not installed, or the file is corrupt or has no audio; also while the
            blocks are read.
        TooLargeError: too many channels; while the blocks are read.
        InputError: the sampling rate changes; while the blocks are read.
    """
    if not is_installed():
        raise DecodeError(
            f"the sound is {_CONTAINER_NAMES[container]}, which is read only where the optional "
            f"package av (PyAV) is installed; allowed here: {FORMATS}"
        )
    import av

    try:
        # one thread: FFmpeg would start more threads than CPUs, and some have waited for ever
        with av.open(io.BytesIO(data), format=container, metadata_errors="replace") as file:
            frames = _decode_frames(file)
            first = next(frames, None)
            if first is None:
                raise _no_sound(container)
            yield first.sample_rate, _join(_samples(first, frames))
    except av.FFmpegError as error:
        raise _no_sound(container) from error


def _no_sound(container: Container) -> DecodeError:
    return DecodeError(f"the {_CONTAINER_NAMES[container]} file holds no sound that can be decoded")


def _decode_frames(file: "av.container.InputContainer") -> Iterator["av.AudioFrame"]:
    import av

    stream = next(iter(file.streams.audio), None)
    # a stream whose codec FFmpeg does not know has no context
    if stream is None or stream.codec_context is None:
        return
    stream.codec_context.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    for packet in file.demux(stream):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue  # a damaged packet loses only its own samples, as in a browser


def _samples(
    first: "av.AudioFrame", others: Iterator["av.AudioFrame"]
) -> Iterator[NDArray[np.float32]]:
    """Yield the samples of all frames, (S, C) each; check that they have one sampling rate."""
    yield _to_float(first)
    for frame in others:
        if frame.sample_rate != first.sample_rate:
            rates = f"{first.sample_rate} Hz, then {frame.sample_rate} Hz"
            raise InputError(f"the sound is at {rates}; allowed: one rate throughout")
        yield _to_float(frame)


def _to_float(frame: "av.AudioFrame") -> NDArray[np.float32]:
    """Return the samples of a frame, (S, C) float32, full scale 1."""
    channels = frame.layout.nb_channels
    check_channels(channels)
    array: NDArray[Any] = frame.to_ndarray()
    samples = array.T if frame.format.is_planar else array.reshape(-1, channels)
    scale = _FULL_SCALE.get(samples.dtype.name, 1.0)
    zero_level = 128.0 if samples.dtype == np.uint8 else 0.0
    return ((samples.astype(np.float32) - zero_level) / scale).astype(np.float32, copy=False)


def _join(blocks: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """Join the codec's frames to blocks of at least BLOCK_FRAMES with the same channels.

    A codec's own frames are small, about 50 a second.
    """
    parts: list[NDArray[np.float32]] = []
    for block in blocks:
        if parts and block.shape[1] != parts[0].shape[1]:
            yield np.concatenate(parts)
            parts = []
        parts.append(block)
        if sum(part.shape[0] for part in parts) >= BLOCK_FRAMES:
            yield np.concatenate(parts)
            parts = []
    if parts:
        yield np.concatenate(parts)
