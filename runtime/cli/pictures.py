"""Sounds and clips, decoded once more to be drawn, and what a classification says in a caption."""

from runtime.artifact.steps import Resize
from runtime.cli.command import share
from runtime.draw import Frame, Picture, Span, Wave, draw_sheet, draw_wave, envelope_of
from runtime.media.video.sample import SampledFrames
from runtime.predict.prepare import Bounds
from runtime.results import Classification

THUMBNAIL_PX = 270  # shorter side of a frame on a sheet
_WORTH_TELLING = 0.01
DRAWN_HZ = 16_000  # of a waveform that is looked at


def wave_of(data: bytes, seconds: float, bounds: Bounds) -> Wave:
    """The outline of a recording, in one pass over it."""
    decode = bounds.decoders.stream_audio
    blocks = decode(data, sampling_rate=DRAWN_HZ, max_seconds=bounds.recording_s)
    return envelope_of(blocks, samples=max(1, round(seconds * DRAWN_HZ)), sampling_rate=DRAWN_HZ)


def seconds_of(data: bytes, bounds: Bounds) -> float:
    """How long a recording is, by decoding it."""
    decode = bounds.decoders.stream_audio
    blocks = decode(data, sampling_rate=DRAWN_HZ, max_seconds=bounds.recording_s)
    return sum(block.size for block in blocks) / DRAWN_HZ


def sound_picture(data: bytes, result: Classification, bounds: Bounds) -> Picture:
    """The waveform of a sound that was judged as a whole."""
    seconds = seconds_of(data, bounds)
    kind = result.labels.index(result.label)
    span = Span(0, seconds, f"{result.label} {share(result.confidence)}", kind)
    return draw_wave(wave_of(data, seconds, bounds), [span], caption=ranked(result))


def frames_of(data: bytes, count: int, bounds: Bounds) -> SampledFrames:
    """The frames that a model of `count` frames sees, at a size to look at."""
    steps = (Resize("linear", shortest_side=THUMBNAIL_PX),)
    return bounds.decoders.sample_frames(data, count=count, steps=steps, limits=bounds.video)


def clip_picture(data: bytes, count: int, caption: str, bounds: Bounds) -> Picture:
    """The frames of a clip on one sheet, those that stand for a short one's end left out."""
    taken = frames_of(data, count, bounds)
    shown = sorted(
        {index: place for place, index in reversed(list(enumerate(taken.indices)))}.items()
    )
    frames = [Frame(taken.frames[place], _note(taken, index, place)) for index, place in shown]
    return draw_sheet(frames, caption=caption)


def ranked(result: Classification, *, most: int = 5) -> str:
    """The most probable classes, best first; beside the best those that are not next to nothing."""
    best = sorted(zip(result.labels, result.probabilities, strict=True), key=lambda each: -each[1])
    told = [best[0], *(each for each in best[1:most] if each[1] >= _WORTH_TELLING)]
    return ", ".join(f"{name} {share(float(value))}" for name, value in told)


def _note(taken: SampledFrames, index: int, place: int) -> str:
    time = f"  {taken.times_s[place]:.2f} s" if taken.times_s else ""
    return f"#{index}{time}"
