"""The interface of the sound and video decoders, and the decoders of this process.

`runtime.media.isolation.pool` has the others: worker processes that can be killed.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from runtime.arrays import Waveform
from runtime.artifact.steps import Step
from runtime.media.audio import decode as audio
from runtime.media.video import sample as video
from runtime.media.video.sample import SampledFrames, VideoLimits


class Decoders(Protocol):
    """The decoders that run native code on untrusted sounds and clips."""

    def stream_audio(
        self,
        data: bytes,
        *,
        sampling_rate: int,
        max_seconds: float,
        warn: Callable[[str], None] = audio.ignore_warning,
    ) -> Iterator[Waveform]:
        """Decode a sound as `runtime.media.audio.decode.stream_audio` does."""

    def sample_frames(
        self, data: bytes, *, count: int, steps: Sequence[Step], limits: VideoLimits
    ) -> SampledFrames:
        """Sample a clip as `runtime.media.video.sample.sample_frames` does."""


class InProcessDecoders:
    """Decoders of this process: they need no start, but one that hangs cannot be stopped."""

    def stream_audio(
        self,
        data: bytes,
        *,
        sampling_rate: int,
        max_seconds: float,
        warn: Callable[[str], None] = audio.ignore_warning,
    ) -> Iterator[Waveform]:
        """Decode a sound as `runtime.media.audio.decode.stream_audio` does."""
        return audio.stream_audio(
            data, sampling_rate=sampling_rate, max_seconds=max_seconds, warn=warn
        )

    def sample_frames(
        self, data: bytes, *, count: int, steps: Sequence[Step], limits: VideoLimits
    ) -> SampledFrames:
        """Sample a clip as `runtime.media.video.sample.sample_frames` does."""
        return video.sample_frames(data, count=count, steps=steps, limits=limits)
