"""Encoded sound to a waveform: WAV, FLAC, Ogg (Vorbis, Opus) and MP3, and nothing else.

By soundfile (libsndfile) and soxr, what librosa.load itself is made of: it would bring 345 MB of
packages. The bytes are untrusted and libsndfile reads twenty more formats, so the kind is told from
the first bytes before it sees any; sound is read block by block and mixed down at once, so memory
follows the length that is allowed, not the channels or the length that a header claims.
"""

import io
import math
from collections.abc import Iterator

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from runtime.errors import DecodeError, InputError, TooLargeError

Waveform = NDArray[np.float32]

FORMATS = "WAV, FLAC, Ogg (Vorbis, Opus), MP3"
MIN_SECONDS = 0.1  # shorter than any sound of speech; the smallest graphs need 0.025
_RATES = (1000, 192_000)  # Hz, of a file
_MAX_CHANNELS = 8
_MAX_PEAK = 16.0  # of samples, where 1 is full scale: 16-bit numbers stored as they are reach 32768
_BLOCK = 65_536  # frames
_CONTAINERS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3")


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
    if not _is_known(data):
        found = f"begins with bytes {data[:4].hex(' ')}" if data else "is empty"
        raise DecodeError(f"the sound {found}; allowed: {FORMATS}")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            rate = _checked_rate(file)
            waveform = _mixed(file, max_frames=math.floor(max_seconds * rate))
    except soundfile.LibsndfileError as error:
        reason = error.error_string.rstrip(".")
        raise DecodeError(f"the sound cannot be decoded: {reason}; allowed: {FORMATS}") from None
    except MemoryError:
        raise TooLargeError(f"sound of {len(data)} bytes needs more memory than is free") from None
    return resample(check_waveform(waveform, rate), rate, sampling_rate)


def check_waveform(waveform: Waveform, sampling_rate: int) -> Waveform:
    """Refuse what is no sound: too short, not finite, or not in a scale where 1 is full.

    Args:
        waveform: (S,) float32.
        sampling_rate: Hz.

    Raises:
        InputError: it says what was found.
    """
    seconds = waveform.size / sampling_rate
    if seconds < MIN_SECONDS:
        raise InputError(f"the sound is {seconds:.3f} s long; allowed: at least {MIN_SECONDS} s")
    if not np.isfinite(waveform).all():
        raise InputError("the sound holds samples that are not finite numbers")
    peak = float(np.abs(waveform).max())
    if peak > _MAX_PEAK:
        raise InputError(f"the sound's samples reach {peak:.6g}; allowed: {_MAX_PEAK:g}, 1 is full")
    return waveform


def resample(waveform: Waveform, from_rate: int, to_rate: int) -> Waveform:
    """(S,) float32 at from_rate Hz to (ceil(S * to_rate / from_rate),) at to_rate Hz, soxr's HQ."""
    if from_rate == to_rate:
        return waveform
    length = math.ceil(waveform.size * (to_rate / from_rate))
    resampled = soxr.resample(waveform, from_rate, to_rate, quality="HQ")[:length]
    # soxr rounds the length, so that the last sample may be missing
    return np.pad(resampled, (0, length - resampled.size)).astype(np.float32, copy=False)


def _is_known(data: bytes) -> bool:
    if data[:4] in (b"RIFF", b"RIFX", b"RF64"):
        return data[8:12] == b"WAVE"
    # of MP3: a frame's eleven bits of synchronisation, then MPEG 1, 2 or 2.5, layer III
    frame = len(data) > 1 and data[0] == 0xFF and data[1] & 0xE6 == 0xE2 and data[1] & 0x18 != 0x08
    return frame or data[:4] in (b"fLaC", b"OggS") or data[:3] == b"ID3"


def _checked_rate(file: soundfile.SoundFile) -> int:
    if file.format not in _CONTAINERS:
        raise DecodeError(f"the sound is {file.format}; allowed: {FORMATS}")
    rate, channels = int(file.samplerate), int(file.channels)
    if not _RATES[0] <= rate <= _RATES[1]:
        raise InputError(f"the sound is at {rate} Hz; allowed: {_RATES[0]} to {_RATES[1]} Hz")
    if channels > _MAX_CHANNELS:
        raise TooLargeError(f"the sound has {channels} channels; allowed: {_MAX_CHANNELS}")
    return rate


def _mixed(file: soundfile.SoundFile, *, max_frames: int) -> Waveform:
    """The mean of the channels, (S,) float32."""
    seconds = max_frames / file.samplerate
    # a header that cannot know says 2**63 - 1
    if max_frames < file.frames < 2**62:
        found = f"{file.frames / file.samplerate:.1f} s"
        raise TooLargeError(f"the sound is {found} long; allowed: {seconds:g} s")
    blocks, count = [], 0
    for block in _blocks(file):
        count += block.size
        if count > max_frames:
            raise TooLargeError(f"the sound is longer than is allowed: {seconds:g} s")
        blocks.append(block)
    return np.concatenate(blocks) if blocks else np.empty(0, np.float32)


def _blocks(file: soundfile.SoundFile) -> Iterator[Waveform]:
    while True:
        block = file.read(_BLOCK, dtype="float32", always_2d=True)
        if not block.size:
            return
        yield block.mean(axis=1, dtype=np.float32)
