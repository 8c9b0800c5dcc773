"""The job of `runtime.media.audio.decode.stream_audio`: its request and its answer on the wire."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runtime.artifact import schema
from runtime.media.audio.decode import stream_audio
from runtime.media.isolation.wire import Message, array_message


@dataclass(frozen=True, slots=True)
class SoundRequest:
    """The arguments of `stream_audio` other than the file."""

    sampling_rate: int  # Hz
    max_seconds: float


def answer(arguments: Mapping[str, Any], data: bytes) -> Iterator[Message]:
    """Decode a sound and return an iterator of parts, one for each block of the waveform."""
    request = schema.parse(SoundRequest, arguments, "sound")
    blocks = stream_audio(
        data, sampling_rate=request.sampling_rate, max_seconds=request.max_seconds
    )
    return (array_message({}, block) for block in blocks)
