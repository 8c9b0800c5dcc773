"""The job of `runtime.media.audio.decode.stream_audio`: its request and its answer on the wire."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtime.artifact import schema
from runtime.media.audio.decode import stream_audio
from runtime.media.isolation.wire import Message, array_message


@dataclass(frozen=True, slots=True)
class SoundRequest:
    """The arguments of `stream_audio` other than the file."""

    sampling_rate: int  # Hz
    max_seconds: float


def answer(arguments: Mapping[str, Any], data: bytes) -> Iterator[Message]:
    """Decode a sound and yield a part for each block of the waveform; the warnings in the last."""
    request = schema.parse(SoundRequest, arguments, "sound")
    warnings: list[str] = []
    for block in stream_audio(
        data,
        sampling_rate=request.sampling_rate,
        max_seconds=request.max_seconds,
        warn=warnings.append,
    ):
        yield array_message({}, block)
    if warnings:
        yield array_message({"warnings": warnings}, np.empty(0, np.float32))
