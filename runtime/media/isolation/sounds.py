"""The job of `runtime.media.audio.decode.stream_audio`: how its arguments and blocks travel."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runtime.artifact import schema as strict_json
from runtime.media.audio.decode import stream_audio
from runtime.media.isolation.wire import Message, with_array


@dataclass(frozen=True, slots=True)
class Sound:
    """What is asked beside the file."""

    sampling_rate: int
    max_seconds: float


def answer(arguments: Mapping[str, Any], data: bytes) -> Iterator[Message]:
    """A part for each block."""
    asked = strict_json.parse(Sound, arguments, "sound")
    blocks = stream_audio(data, sampling_rate=asked.sampling_rate, max_seconds=asked.max_seconds)
    return (with_array({}, block) for block in blocks)
