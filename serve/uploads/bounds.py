"""The largest media that are decoded, as the settings say."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from runtime.media.decoders import Decoders
from runtime.media.video.sample import VideoLimits
from runtime.predict.prepare import Bounds
from serve.settings import Settings

FRAMES_PER_SECOND = 60  # of a clip, at most; the newest phones record no more


def bounds_of(
    settings: Settings,
    decoders: Decoders,
    decoding: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Bounds:
    """Return the limits of the media that are decoded, and the decoders; `decoding` times them."""
    video = VideoLimits(
        frames=FRAMES_PER_SECOND * settings.max_video_s,
        seconds=settings.max_video_s,
        pixels=min(settings.max_pixels, VideoLimits().pixels),
        deadline_s=settings.decode_timeout_s,
        chunk=settings.chunk_size,
    )
    return Bounds(
        pixels=settings.max_pixels,
        audio_s=settings.longest_run_s,
        video=video,
        recording_s=settings.max_audio_s,
        decoders=decoders,
        decoding=decoding,
    )
