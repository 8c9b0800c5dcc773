"""Decode sounds to waveforms: WAV, FLAC, Ogg (Vorbis, Opus) and MP3; WebM and M4A with PyAV.

Decodes with soundfile (libsndfile) and resamples with soxr. librosa.load does the same with the
same two libraries, but librosa would bring 345 MB of packages.

The bytes are untrusted and libsndfile reads twenty more formats, so the first bytes decide the
container before libsndfile sees the file. A sound is read, mixed down and resampled in blocks, so
memory depends on the block, not on the channels or the length that a header claims.
"""

import io
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from runtime.arrays import Waveform
from runtime.errors import DecodeError, InputError, TooLargeError
from runtime.media.audio import pyav
from runtime.media.audio.channels import Mixer
from runtime.media.audio.containers import (
    BLOCK_FRAMES,
    FORMATS,
    Container,
    check_channels,
    container_of,
)
from runtime.media.audio.parts import split_parts
from runtime.media.durations import check_duration
from runtime.media.signatures import describe_content

MIN_SECONDS = 0.1  # shorter than any speech sound; the smallest graphs need 0.025
_SAMPLING_RATES = (1000, 192_000)  # Hz, lowest and highest of a file
_MAX_PEAK = 16.0  # full scale is 1; 16-bit integers stored as floats without scaling reach 32768
_LENGTH_TOLERANCE_S = 0.3  # MP3 counts the silence that its encoder adds at both ends
_CONTAINERS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3")  # libsndfile's names


@dataclass(slots=True)
class _Length:
    """The length of the sound that was decoded so far, over all parts."""

    max_seconds: float
    seconds: float = 0.0


class _StreamedSound(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A sound file that is read from its beginning to its end.

    After each block, soundfile seeks to where it is, which fails in a FLAC file that does not tell
    its length.
    """

    def seekable(self) -> bool:
        """Return False."""
        return False


@dataclass(frozen=True, slots=True)
class _OpenSound:
    """A sound file whose blocks can be read."""

    rate: int  # Hz
    blocks: Iterator[NDArray[np.float32]]  # (S, C) each, full scale 1


def ignore_warning(warning: str) -> None:
    """Drop a warning about a sound."""


def decode_audio(
    data: bytes,
    *,
    sampling_rate: int,
    max_seconds: float = 30.0,
    warn: Callable[[str], None] = ignore_warning,
) -> Waveform:
    """Decode a sound to one channel, as librosa.load(sr=..., mono=True).

    A file that is cut off is decoded as far as it goes, if its format allows that. Files that were
    joined, and one that goes on behind the length that its header tells, are decoded to their end.
    Where the channels cancel each other, the loudest one takes the place of the mean.

    Args:
        data: a whole file; its first bytes decide the container.
        sampling_rate: of the result, in Hz.
        max_seconds: longest sound. The header's claim is checked first, then the decoded length.
        warn: called with each warning about the sound, an ASCII sentence.

    Returns:
        (S,) float32, full scale 1. Overshoots of a lossy codec or of the filter are not clipped.

    Raises:
        DecodeError: empty, another kind of file, or corrupt.
        TooLargeError: longer than max_seconds, too many channels, or out of memory.
        InputError: shorter than MIN_SECONDS, or samples that are not finite or out of scale.

    Source: librosa.load 0.11, res_type "soxr_hq".
    """
    return concatenate(
        stream_audio(data, sampling_rate=sampling_rate, max_seconds=max_seconds, warn=warn)
    )


def stream_audio(
    data: bytes,
    *,
    sampling_rate: int,
    max_seconds: float,
    warn: Callable[[str], None] = ignore_warning,
) -> Iterator[Waveform]:
    """Decode a sound as `decode_audio`, and yield it in blocks of any size.

    Memory does not grow with the length of the sound. An error is raised when decoding reaches it,
    after the blocks before it were yielded.

    Args:
        data: a whole file.
        sampling_rate: of the blocks, in Hz.
        max_seconds: longest sound.
        warn: called with each warning about the sound, an ASCII sentence, at the latest after the
            last block.
    """
    try:
        yield from _stream(data, sampling_rate, _Length(max_seconds), warn)
    except soundfile.LibsndfileError as error:
        reason = error.error_string.rstrip(".")
        raise DecodeError(f"the sound cannot be decoded: {reason}; allowed: {FORMATS}") from None
    except MemoryError:
        raise TooLargeError(f"sound of {len(data)} bytes needs more memory than is free") from None


def _stream(
    data: bytes, sampling_rate: int, length: _Length, warn: Callable[[str], None]
) -> Iterator[Waveform]:
    container = container_of(data)
    if container is None:
        raise DecodeError(f"the sound {describe_content(data)}; allowed: {FORMATS}")
    mixer = Mixer(warn)
    parts = split_parts(data, container)
    for part in parts:
        if container == "flac" and part.claimed_s is not None:
            check_duration("the sound", part.claimed_s, length.max_seconds)
        with _open_sound(part.data, container, length.max_seconds) as sound:
            blocks = (mixer.mix(block, sound.rate) for block in sound.blocks)
            checked = _check_blocks(blocks, sound.rate, length)
            yield from _resample_blocks(checked, sound.rate, sampling_rate)
    _check_shortest(length.seconds)
    claimed, actual = parts[0].claimed_s, length.seconds
    if claimed is not None and abs(claimed - actual) > _LENGTH_TOLERANCE_S:
        outcome = "all of it was used" if actual > claimed else "it is cut off"
        warn(
            f"the header of the sound says {claimed:.1f} s, the file holds {actual:.1f} s: "
            f"{outcome}"
        )


def concatenate(blocks: Iterable[Waveform]) -> Waveform:
    """Return the blocks as one waveform; no blocks make an empty one."""
    parts = list(blocks)
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def check_waveform(waveform: Waveform, sampling_rate: int) -> Waveform:
    """Return a waveform that is long enough, finite, and scaled so that full scale is 1.

    Args:
        waveform: (S,) float32.
        sampling_rate: Hz.

    Raises:
        InputError: it is not; the message names the value and what is allowed.
    """
    _check_shortest(waveform.size / sampling_rate)
    _check_samples(waveform)
    return waveform


def resample(waveform: Waveform, from_rate: int, to_rate: int) -> Waveform:
    """Resample with soxr's HQ filter, as librosa's "soxr_hq".

    Args:
        waveform: (S,) float32.
        from_rate: its rate in Hz.
        to_rate: the new rate in Hz.

    Returns:
        (ceil(S * to_rate / from_rate),) float32.
    """
    return concatenate(_resample_blocks(iter([waveform]), from_rate, to_rate))


def _resample_blocks(
    blocks: Iterator[Waveform], from_rate: int, to_rate: int
) -> Iterator[Waveform]:
    """Resample a stream; its blocks together are as long as `resample` makes the whole."""
    if from_rate == to_rate:
        yield from blocks
        return
    stream = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality="HQ")
    samples_in = samples_out = 0
    for block in blocks:
        samples_in += block.size
        resampled = stream.resample_chunk(block)
        samples_out += resampled.size
        yield resampled
    rest = stream.resample_chunk(np.empty(0, np.float32), last=True)
    # soxr rounds the length to the nearest sample, librosa up: the last sample may be missing
    length = math.ceil(samples_in * (to_rate / from_rate)) - samples_out
    yield np.pad(rest[:length], (0, max(0, length - rest.size))).astype(np.float32, copy=False)


@contextmanager
def _open_sound(data: bytes, container: Container, max_seconds: float) -> Iterator[_OpenSound]:
    if container in ("matroska", "mp4"):
        with pyav.open_sound(data, container) as (rate, blocks):
            _check_rate(rate)
            yield _OpenSound(rate, blocks)
        return
    with _StreamedSound(io.BytesIO(data)) as file:
        if file.format not in _CONTAINERS:
            raise DecodeError(f"the sound is {file.format}; allowed: {FORMATS}")
        rate = int(file.samplerate)
        _check_rate(rate)
        check_channels(int(file.channels))
        _check_claimed_length(file.frames / file.samplerate, max_seconds)
        yield _OpenSound(rate, _read_blocks(file))


def _read_blocks(file: soundfile.SoundFile) -> Iterator[NDArray[np.float32]]:
    while True:
        block = file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
        if not block.size:
            return
        yield block


def _check_blocks(blocks: Iterable[Waveform], rate: int, length: _Length) -> Iterator[Waveform]:
    """Yield the blocks of a part, each checked before it is yielded; add them to the length."""
    start, count = length.seconds, 0
    for block in blocks:
        count += block.size
        length.seconds = start + count / rate
        if length.seconds > length.max_seconds:
            raise TooLargeError(f"the sound is longer than is allowed: {length.max_seconds:g} s")
        _check_samples(block)
        yield block


def _check_rate(rate: int) -> None:
    lowest, highest = _SAMPLING_RATES
    if not lowest <= rate <= highest:
        raise InputError(f"the sound is at {rate} Hz; allowed: {lowest} to {highest} Hz")


def _check_claimed_length(seconds: float, max_seconds: float) -> None:
    # a header that does not know its length claims 2**63 - 1 samples
    if seconds < 2**62 / _SAMPLING_RATES[1]:
        check_duration("the sound", seconds, max_seconds)


def _check_shortest(seconds: float) -> None:
    if seconds < MIN_SECONDS:
        rounded_down = math.floor(round(seconds * 1000, 6)) / 1000
        raise InputError(
            f"the sound is {rounded_down:.3f} s long; allowed: at least {MIN_SECONDS} s"
        )


def _check_samples(waveform: Waveform) -> None:
    if not np.isfinite(waveform).all():
        raise InputError("the sound holds samples that are not finite numbers")
    peak = float(np.abs(waveform).max(initial=0.0))
    if peak > _MAX_PEAK:
        raise InputError(f"the sound's samples reach {peak:.6g}; allowed: {_MAX_PEAK:g}, 1 is full")
