"""What browsers and phones record, WebM and M4A, where the optional package av (PyAV) is installed.

It is 102 MB, so the image goes without it. The container is named to FFmpeg, which is then asked
for nothing else: it would also read playlists, and those name other files and addresses.
"""

import importlib.util
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from runtime.errors import DecodeError, InputError
from runtime.media.audio.containers import BLOCK_FRAMES, FORMATS, Kind, check_channels

if TYPE_CHECKING:
    import av

_NAMES = {"matroska": "WebM or Matroska", "mp4": "MP4 or M4A"}
_FULL_SCALE = {"int16": 2.0**15, "int32": 2.0**31, "uint8": 2.0**7}


def is_installed() -> bool:
    """Whether PyAV can be imported."""
    return importlib.util.find_spec("av") is not None


@contextmanager
def opened(data: bytes, kind: Kind) -> Iterator[tuple[int, Iterator[NDArray[np.float32]]]]:
    """The first sound of a container: its rate in Hz, and its blocks, (S, C) float32.

    Raises:
        DecodeError: PyAV is not installed, or the container is corrupt or without sound; later,
            too, while the blocks are read.
        TooLargeError: too many channels.
    """
    if not is_installed():
        raise DecodeError(
            f"the sound is {_NAMES[kind]}, which is read only where the optional package av (PyAV) "
            f"is installed; allowed here: {FORMATS}"
        )
    import av

    try:
        # one thread: those of FFmpeg would outnumber the CPUs, and have been seen to wait for ever
        with av.open(io.BytesIO(data), format=kind, metadata_errors="replace") as container:
            frames = _frames(container)
            first = next(frames, None)
            if first is None:
                raise _refusal(kind)
            yield first.sample_rate, _joined(_samples(first, frames))
    except av.FFmpegError as error:
        raise _refusal(kind) from error


def _refusal(kind: Kind) -> DecodeError:
    return DecodeError(f"the {_NAMES[kind]} file holds no sound that can be decoded")


def _frames(container: "av.container.InputContainer") -> Iterator["av.AudioFrame"]:
    import av

    stream = next(iter(container.streams.audio), None)
    if stream is None:
        return
    stream.codec_context.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue  # a damaged packet costs what it holds, as it does in a browser


def _samples(
    first: "av.AudioFrame", others: Iterator["av.AudioFrame"]
) -> Iterator[NDArray[np.float32]]:
    yield _scaled(first)
    for frame in others:
        if frame.sample_rate != first.sample_rate:
            found = f"{first.sample_rate} Hz, then {frame.sample_rate} Hz"
            raise InputError(f"the sound is at {found}; allowed: one rate throughout")
        yield _scaled(frame)


def _scaled(frame: "av.AudioFrame") -> NDArray[np.float32]:
    """(S, C) float32, full scale 1."""
    channels = frame.layout.nb_channels
    check_channels(channels)
    array: NDArray[Any] = frame.to_ndarray()
    samples = array.T if frame.format.is_planar else array.reshape(-1, channels)
    scale = _FULL_SCALE.get(samples.dtype.name, 1.0)
    middle = 128.0 if samples.dtype == np.uint8 else 0.0
    return ((samples.astype(np.float32) - middle) / scale).astype(np.float32, copy=False)


def _joined(blocks: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """Mixed down, and as large as those of other files; a coder's own are 50 in a second."""
    held: list[NDArray[np.float32]] = []
    for block in blocks:
        held.append(block.mean(axis=1, dtype=np.float32, keepdims=True))
        if sum(part.shape[0] for part in held) >= BLOCK_FRAMES:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)
