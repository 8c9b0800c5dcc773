"""Recordings of any length: (S,) float32 waveforms, or files."""

import io
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from convert.recipe import Loaded
from convert.samples.media.modality import Modality, Warn, ignore_warning
from convert.samples.procedural.voices import SAMPLING_RATE, generate_voices
from runtime.arrays import Waveform
from runtime.artifact.manifest import Resample
from runtime.engine.session import Feeds
from runtime.media.audio.decode import decode_audio, resample
from runtime.media.suffixes import SOUNDS

SIMPLE_SECONDS = 1  # length of a simplified recording


def voices() -> Modality:
    """Return the modality of recordings; synthetic ones are voices that babble."""
    return Modality(
        noun="recordings",
        suffixes=SOUNDS,
        generate=generate_voices,
        read=_keep_encoded,
        simplify=_simplify,
        encode=_encode_wav,
        to_feeds=_to_feeds,
    )


def _keep_encoded(data: bytes, warn: Warn = ignore_warning) -> bytes:
    """Return the file: `_to_feeds` decodes it, because the model decides the sampling rate."""
    return data


def _simplify(waveform: Waveform) -> Waveform:
    return waveform[: SAMPLING_RATE * SIMPLE_SECONDS]


def _to_feeds(sound: bytes | Waveform, loaded: Loaded, warn: Warn = ignore_warning) -> Feeds:
    (step,) = loaded.preprocess
    assert isinstance(step, Resample)  # the spec of audio-classification allows no other step
    if isinstance(sound, bytes):
        waveform = decode_audio(sound, sampling_rate=step.sampling_rate, warn=warn)
    else:
        waveform = resample(sound, SAMPLING_RATE, step.sampling_rate)
    (tensor,) = loaded.input.tensors
    return {tensor.name: waveform[np.newaxis]}


def _encode_wav(waveform: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform, SAMPLING_RATE, format="WAV", subtype="PCM_16")
    return buffer.getvalue()
