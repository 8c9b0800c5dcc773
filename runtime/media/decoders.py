"""Who decodes sounds and clips: this process, or others that can be killed."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from runtime.arrays import Waveform
from runtime.artifact.steps import Step
from runtime.media.audio import decode as audio
from runtime.media.video import sample as video
from runtime.media.video.sample import SampledFrames, VideoLimits


class Decoders(Protocol):
    """What native decoders are asked for."""

    def stream_audio(
        self, data: bytes, *, sampling_rate: int, max_seconds: float
    ) -> Iterator[Waveform]:
        """As `runtime.media.audio.decode.stream_audio`."""

    def sample_frames(
        self, data: bytes, *, count: int, steps: Sequence[Step], limits: VideoLimits
    ) -> SampledFrames:
        """As `runtime.media.video.sample.sample_frames`."""


class InProcessDecoders:
    """In this process: nothing to start, and nothing that stops a decoder which hangs."""

    def stream_audio(
        self, data: bytes, *, sampling_rate: int, max_seconds: float
    ) -> Iterator[Waveform]:
        """As `runtime.media.audio.decode.stream_audio`."""
        return audio.stream_audio(data, sampling_rate=sampling_rate, max_seconds=max_seconds)

    def sample_frames(
        self, data: bytes, *, count: int, steps: Sequence[Step], limits: VideoLimits
    ) -> SampledFrames:
        """As `runtime.media.video.sample.sample_frames`."""
        return video.sample_frames(data, count=count, steps=steps, limits=limits)
