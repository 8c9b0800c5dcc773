"""Encoded sound to a waveform: WAV, FLAC, Ogg (Vorbis, Opus) and MP3; WebM and M4A with PyAV.

By soundfile (libsndfile) and soxr, what librosa.load itself is made of: it would bring 345 MB of
packages. The bytes are untrusted and libsndfile reads twenty more formats, so the kind is told from
the first bytes before it sees any; sound is read block by block, mixed down and resampled at once,
so memory follows the block, not the channels or the length that a header claims.
"""

import io
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from runtime.arrays import Waveform
from runtime.errors import DecodeError, InputError, TooLargeError
from runtime.media.audio import pyav as compressed_audio
from runtime.media.audio.containers import BLOCK_FRAMES, FORMATS, check_channels, kind_of
from runtime.media.durations import check_duration
from runtime.media.signatures import describe_content

MIN_SECONDS = 0.1  # shorter than any sound of speech; the smallest graphs need 0.025
_RATES = (1000, 192_000)  # Hz, of a file
_MAX_PEAK = 16.0  # of samples, where 1 is full scale: 16-bit numbers stored as they are reach 32768
_CONTAINERS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3")


@dataclass(frozen=True, slots=True)
class _Source:
    """A file that is being read."""

    rate: int  # Hz
    blocks: Iterator[NDArray[np.float32]]  # (S, C) each, full scale 1


def decode_audio(data: bytes, *, sampling_rate: int, max_seconds: float = 30.0) -> Waveform:
    """Decode a sound file to one channel at one rate, as librosa.load(sr=..., mono=True).

    A file that is cut off is decoded as far as it goes, where its kind allows that.

    Args:
        data: a whole file, told by its content.
        sampling_rate: Hz, of the result.
        max_seconds: longest sound; told from the header where it says, and from what is decoded.

    Returns:
        (S,) float32. Full scale is 1; what a lossy coder or the filter overshoots is left.

    Raises:
        DecodeError: empty, of another kind or corrupt.
        TooLargeError: longer than max_seconds, of too many channels, or out of memory.
        InputError: shorter than MIN_SECONDS, or samples that are no numbers or out of scale.

    Source: librosa.load of 0.11, res_type "soxr_hq".
    """
    return concatenate(stream_audio(data, sampling_rate=sampling_rate, max_seconds=max_seconds))


def stream_audio(data: bytes, *, sampling_rate: int, max_seconds: float) -> Iterator[Waveform]:
    """The same in blocks of any size, in memory that does not grow with the sound.

    What is wrong with a file is raised where it is met: after the blocks before it.
    """
    try:
        with _opened(data, max_seconds) as source:
            blocks = (block.mean(axis=1, dtype=np.float32) for block in source.blocks)
            checked = _checked(blocks, source.rate, max_seconds)
            yield from _resampled(checked, source.rate, sampling_rate)
    except soundfile.LibsndfileError as error:
        reason = error.error_string.rstrip(".")
        raise DecodeError(f"the sound cannot be decoded: {reason}; allowed: {FORMATS}") from None
    except MemoryError:
        raise TooLargeError(f"sound of {len(data)} bytes needs more memory than is free") from None


def concatenate(blocks: Iterable[Waveform]) -> Waveform:
    """Blocks, of which there may be none, as one waveform."""
    parts = list(blocks)
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def check_waveform(waveform: Waveform, sampling_rate: int) -> Waveform:
    """Refuse what is no sound: too short, not finite, or not in a scale where 1 is full.

    Args:
        waveform: (S,) float32.
        sampling_rate: Hz.

    Raises:
        InputError: it says what was found.
    """
    _check_length(waveform.size, sampling_rate)
    _check_samples(waveform)
    return waveform


def resample(waveform: Waveform, from_rate: int, to_rate: int) -> Waveform:
    """(S,) float32 at from_rate Hz to (ceil(S * to_rate / from_rate),) at to_rate Hz, soxr's HQ."""
    return concatenate(_resampled(iter([waveform]), from_rate, to_rate))


def _resampled(blocks: Iterator[Waveform], from_rate: int, to_rate: int) -> Iterator[Waveform]:
    if from_rate == to_rate:
        yield from blocks
        return
    stream = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality="HQ")
    taken = given = 0
    for block in blocks:
        taken += block.size
        made = stream.resample_chunk(block)
        given += made.size
        yield made
    rest = stream.resample_chunk(np.empty(0, np.float32), last=True)
    # soxr rounds the length, so that the last sample may be missing
    length = math.ceil(taken * (to_rate / from_rate)) - given
    yield np.pad(rest[:length], (0, max(0, length - rest.size))).astype(np.float32, copy=False)


@contextmanager
def _opened(data: bytes, max_seconds: float) -> Iterator[_Source]:
    kind = kind_of(data)
    if kind is None:
        raise DecodeError(f"the sound {describe_content(data)}; allowed: {FORMATS}")
    if kind in ("matroska", "mp4"):
        with compressed_audio.opened(data, kind) as (rate, blocks):
            _check_kind(rate, 1)
            yield _Source(rate, blocks)
        return
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        if file.format not in _CONTAINERS:
            raise DecodeError(f"the sound is {file.format}; allowed: {FORMATS}")
        _check_kind(int(file.samplerate), int(file.channels))
        _check_claim(file.frames / file.samplerate, max_seconds)
        yield _Source(int(file.samplerate), _blocks(file))


def _blocks(file: soundfile.SoundFile) -> Iterator[NDArray[np.float32]]:
    while True:
        block = file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
        if not block.size:
            return
        yield block


def _checked(blocks: Iterator[Waveform], rate: int, max_seconds: float) -> Iterator[Waveform]:
    count = 0
    for block in blocks:
        count += block.size
        if count > math.floor(max_seconds * rate):
            raise TooLargeError(f"the sound is longer than is allowed: {max_seconds:g} s")
        _check_samples(block)
        yield block
    _check_length(count, rate)


def _check_kind(rate: int, channels: int) -> None:
    if not _RATES[0] <= rate <= _RATES[1]:
        raise InputError(f"the sound is at {rate} Hz; allowed: {_RATES[0]} to {_RATES[1]} Hz")
    check_channels(channels)


def _check_claim(seconds: float, max_seconds: float) -> None:
    # a header that cannot know says 2**63 - 1 samples
    if seconds < 2**62 / _RATES[1]:
        check_duration("the sound", seconds, max_seconds)


def _check_length(count: int, rate: int) -> None:
    seconds = count / rate
    if seconds < MIN_SECONDS:
        found = math.floor(round(seconds * 1000, 6)) / 1000
        raise InputError(f"the sound is {found:.3f} s long; allowed: at least {MIN_SECONDS} s")


def _check_samples(waveform: Waveform) -> None:
    if not np.isfinite(waveform).all():
        raise InputError("the sound holds samples that are not finite numbers")
    peak = float(np.abs(waveform).max(initial=0.0))
    if peak > _MAX_PEAK:
        raise InputError(f"the sound's samples reach {peak:.6g}; allowed: {_MAX_PEAK:g}, 1 is full")
