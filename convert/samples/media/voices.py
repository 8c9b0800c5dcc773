"""Voices: (S,) float32 waveforms, each at the length it has."""

import io
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from convert.recipe import Loaded
from convert.samples.media.modality import Modality
from convert.samples.procedural.voices import SAMPLING_RATE, generate_voices
from runtime.artifact.manifest import Resample
from runtime.engine.session import Feeds
from runtime.media.audio.decode import decode_audio, resample
from runtime.media.suffixes import SOUNDS

PLAIN_SECONDS = 1


def voices() -> Modality:
    """Recordings of speech: what is drawn where nobody gave any."""
    return Modality(
        noun="recordings",
        suffixes=SOUNDS,
        generate=generate_voices,
        read=_unread,
        simplify=_simplify,
        encode=_wav,
        to_feeds=_to_feeds,
    )


def _unread(data: bytes) -> bytes:
    """Left to `_sample`: the decoder resamples, and the model says to which rate."""
    return data


def _simplify(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    return waveform[: SAMPLING_RATE * PLAIN_SECONDS]


def _to_feeds(sound: bytes | NDArray[np.float32], loaded: Loaded) -> Feeds:
    (step,) = loaded.preprocess
    assert isinstance(step, Resample)  # the spec of audio-classification allows no other
    if isinstance(sound, bytes):
        waveform = decode_audio(sound, sampling_rate=step.sampling_rate)
    else:
        waveform = resample(sound, SAMPLING_RATE, step.sampling_rate)
    (tensor,) = loaded.input.tensors
    return {tensor.name: waveform[np.newaxis]}


def _wav(waveform: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform, SAMPLING_RATE, format="WAV", subtype="PCM_16")
    return buffer.getvalue()
