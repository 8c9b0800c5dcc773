"""Decode and preprocess media to the feeds of a graph: one function per task."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from runtime.artifact.manifest import Resample, SampleFrames, Spec, Task, Tokenize
from runtime.engine.session import Feeds
from runtime.errors import DecodeError, InputError
from runtime.media.audio.decode import check_waveform, concatenate
from runtime.media.audio.silence import is_silent
from runtime.media.decoders import Decoders, InProcessDecoders
from runtime.media.images.decode import Photo, decode_photo
from runtime.media.images.preprocess import preprocess
from runtime.media.video.sample import SampledFrames, VideoLimits, sample_array
from runtime.predict.assets import Assets

# Encoded: the bytes of a file, or UTF-8 text. Decoded: a Photo, an image (H, W, 3) uint8 sRGB, a
# clip (n, H, W, 3) of such frames, a waveform (S,) float32 at the graph's sampling rate, or a str.
Media = bytes | str | Photo | NDArray[np.generic]

# Of the person in a clip: a name that the version knows, or the (D,) float32 vector itself.
Condition = str | NDArray[np.float32] | None

# The memory of attention grows with the square of the length. `tasks.voice_emotion` splits longer
# recordings into windows.
LONGEST_RUN_S = 30.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """The largest media that are decoded, and the decoders for sounds and clips."""

    pixels: int = 50_000_000  # of an image
    audio_s: float = LONGEST_RUN_S  # of a sound in one run
    video: VideoLimits = field(default_factory=VideoLimits)
    recording_s: float = 3600.0  # of a sound that is split into windows
    decoders: Decoders = field(default_factory=InProcessDecoders)  # the server isolates them
    decoding: Callable[[], AbstractContextManager[None]] = nullcontext  # around what reads a file


@dataclass(frozen=True, slots=True)
class Prepared:
    """The feeds of one input, and the facts about it that its result needs."""

    feeds: Feeds  # with a batch axis of size 1
    height: int = 0  # px, of a decoded image; 0: the input is no image
    width: int = 0
    silent: bool = False  # True: the input is a silent sound
    frames: SampledFrames | None = None  # of a clip: the frames in `feeds`, with their times
    warnings: tuple[str, ...] = ()  # about the media; the result carries them on


@dataclass(frozen=True, slots=True)
class MediaContext:
    """The model, limits and condition for which media are prepared."""

    spec: Spec
    assets: Assets
    bounds: Bounds
    condition: Condition


def prepare(media: Media, context: MediaContext) -> Prepared:
    """Decode the media if they are encoded, apply the steps of the spec, and add a batch axis.

    Raises:
        InputError: the media cannot be decoded, are of another kind than the task's, or over a
            bound; the condition is unknown, or the task takes none.
    """
    if context.condition is not None and context.spec.task != "video-classification":
        raise InputError(f"{context.spec.id} takes no condition; video-classification alone does")
    return _PREPARE[context.spec.task](media, context)


def condition_vector(condition: Condition, spec: Spec, assets: Assets) -> NDArray[np.float32]:
    """Return the condition input of a video model.

    Returns:
        (D,) float32; zeros if nothing is known about the person.

    Raises:
        InputError: the version does not know the condition.
    """
    if isinstance(condition, np.ndarray):
        return condition
    width = spec.inputs[-1].shape[-1]
    if condition is None or not condition.strip():
        return np.zeros(int(width), np.float32)
    if assets.conditions is None:
        raise InputError(f"{spec.id} knows no condition by name")
    return assets.conditions.embed(condition)


def load_image(
    media: Media, *, max_pixels: int = Bounds().pixels, with_alpha: bool = False
) -> Photo:
    """Decode an image file, or check an image that is decoded already.

    Args:
        media: an encoded file, a Photo, which is returned, or (H, W, 3) uint8 RGB.
        max_pixels: the largest file decoded.
        with_alpha: also decode the opacity of a file.

    Raises:
        InputError: the file cannot be decoded or is too large; the array is no RGB image.
    """
    if isinstance(media, bytes):
        return decode_photo(media, max_pixels=max_pixels, with_alpha=with_alpha)
    if isinstance(media, Photo):
        return media
    return Photo(_uint8(media, "image", "(H, W, 3)", 3))


def _image(media: Media, context: MediaContext) -> Prepared:
    with context.bounds.decoding():
        photo = load_image(media, max_pixels=context.bounds.pixels)
    array = preprocess(photo.pixels, context.spec.preprocess)
    height, width = photo.pixels.shape[:2]
    feeds = {context.spec.inputs[0].name: array[np.newaxis]}
    return Prepared(feeds, height, width, warnings=photo.warnings)


def _audio(media: Media, context: MediaContext) -> Prepared:
    (step,) = context.spec.preprocess
    assert isinstance(step, Resample)  # read_manifest refuses any other step
    rate = step.sampling_rate
    warnings: list[str] = []
    if isinstance(media, bytes):
        decode, longest = context.bounds.decoders.stream_audio, context.bounds.audio_s
        blocks = decode(media, sampling_rate=rate, max_seconds=longest, warn=warnings.append)
        with context.bounds.decoding():
            waveform = concatenate(blocks)
    else:
        allowed = f"float32 (S,) at {rate} Hz, in [-1, 1]"
        if not isinstance(media, np.ndarray) or media.dtype != np.float32 or media.ndim != 1:
            raise InputError(f"waveform is {_kind(media)}; allowed: {allowed}")
        waveform = check_waveform(media.astype(np.float32, copy=False), rate)
    feeds = {context.spec.inputs[0].name: waveform[np.newaxis]}
    return Prepared(feeds, silent=is_silent(waveform, rate), warnings=tuple(warnings))


def _video(media: Media, context: MediaContext) -> Prepared:
    spec = context.spec
    step = spec.preprocess[0]
    assert isinstance(step, SampleFrames)  # read_manifest refuses any other step
    feeds: dict[str, NDArray[np.generic]] = {}
    if len(spec.inputs) > 1:  # before decoding, so that an unknown name is refused at once
        feeds["condition"] = condition_vector(context.condition, spec, context.assets)[np.newaxis]
    elif context.condition is not None:
        raise InputError(f"{spec.id} takes no condition")
    if isinstance(media, bytes):
        limits = context.bounds.video
        sample_frames = context.bounds.decoders.sample_frames
        with context.bounds.decoding():
            sample = sample_frames(media, count=step.count, steps=spec.preprocess, limits=limits)
    else:
        clip = _uint8(media, "clip", "(n, H, W, 3)", 4)
        sample = sample_array(clip, count=step.count, steps=spec.preprocess)
    feeds["frames"] = sample.frames[np.newaxis]
    return Prepared(feeds, frames=sample, warnings=sample.warnings)


def _text(media: Media, context: MediaContext) -> Prepared:
    (step,) = context.spec.preprocess
    # read_manifest refuses any other step, and a version without its vocabulary
    assert isinstance(step, Tokenize)
    assert context.assets.tokenizer is not None
    if isinstance(media, bytes):
        try:
            media = media.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DecodeError(f"the text is not UTF-8: {error.reason} at {error.start}") from None
    if not isinstance(media, str):
        raise InputError(f"text is {_kind(media)}; allowed: text, or its UTF-8 bytes")
    if not media.strip():
        raise InputError("the text is empty")
    ids = context.assets.tokenizer.encode(media, max_length=step.max_length)[np.newaxis]
    return Prepared({"input_ids": ids, "attention_mask": np.ones_like(ids)})


def _uint8(media: Media, noun: str, shape: str, ndim: int) -> NDArray[np.uint8]:
    fits = isinstance(media, np.ndarray) and media.dtype == np.uint8 and media.ndim == ndim
    if not isinstance(media, np.ndarray) or not fits or media.shape[-1] != 3 or 0 in media.shape:
        raise InputError(f"{noun} is {_kind(media)}; allowed: uint8 {shape}, RGB")
    return media.astype(np.uint8, copy=False)


def _kind(media: Media) -> str:
    return f"{media.dtype} {media.shape}" if isinstance(media, np.ndarray) else type(media).__name__


_PREPARE: Mapping[Task, Callable[[Media, MediaContext], Prepared]] = {
    "image-classification": _image,
    "image-feature-extraction": _image,
    "image-segmentation": _image,
    "object-detection": _image,
    "audio-classification": _audio,
    "video-classification": _video,
    "sentence-similarity": _text,
}
