"""Pictures of sounds and clips, which are decoded once more to be drawn; captions of classes."""

from runtime.arrays import Image
from runtime.artifact.steps import Resize
from runtime.cli.command import format_probability, format_top_class
from runtime.draw import Frame, Span, Wave, draw_sheet, draw_wave, envelope_of
from runtime.media.video.sample import SampledFrames
from runtime.predict.prepare import Bounds
from runtime.results import Classification

THUMBNAIL_PX = 270  # shorter side of a frame on a sheet
DRAWN_HZ = 16_000  # sampling rate of a waveform that is drawn
_LEAST_PROBABILITY = 0.01  # of a class in a caption, but for the best


def wave_of(data: bytes, seconds: float, bounds: Bounds) -> Wave:
    """Decode a recording and return its outline, without holding all of it in memory."""
    decode = bounds.decoders.stream_audio
    blocks = decode(data, sampling_rate=DRAWN_HZ, max_seconds=bounds.recording_s)
    return envelope_of(blocks, samples=max(1, round(seconds * DRAWN_HZ)), sampling_rate=DRAWN_HZ)


def duration_s(data: bytes, bounds: Bounds) -> float:
    """Decode a recording and return its length in seconds."""
    decode = bounds.decoders.stream_audio
    blocks = decode(data, sampling_rate=DRAWN_HZ, max_seconds=bounds.recording_s)
    return sum(block.size for block in blocks) / DRAWN_HZ


def draw_sound(data: bytes, result: Classification, bounds: Bounds) -> Image:
    """Draw the waveform of a sound that was classified as a whole."""
    seconds = duration_s(data, bounds)
    kind = result.labels.index(result.label)
    span = Span(0, seconds, format_top_class(result), kind)
    return draw_wave(wave_of(data, seconds, bounds), [span], caption=format_ranking(result))


def draw_clip(data: bytes, count: int, caption: str, bounds: Bounds) -> Image:
    """Draw the frames of a clip that a model of `count` frames sees, each once."""
    steps = (Resize("linear", shortest_side=THUMBNAIL_PX),)
    sample = bounds.decoders.sample_frames(data, count=count, steps=steps, limits=bounds.video)
    # a clip shorter than `count` repeats its last frame
    places = {index: place for place, index in reversed(list(enumerate(sample.indices)))}
    frames = [
        Frame(sample.frames[place], _format_frame(sample, index, place))
        for index, place in sorted(places.items())
    ]
    return draw_sheet(frames, caption=caption)


def format_ranking(result: Classification, *, most: int = 5) -> str:
    """Format the most probable classes, best first, without those under one percent."""
    pairs = zip(result.labels, result.probabilities, strict=True)
    best, *others = sorted(pairs, key=lambda pair: -pair[1])
    ranking = [best, *(pair for pair in others[: most - 1] if pair[1] >= _LEAST_PROBABILITY)]
    return ", ".join(f"{name} {format_probability(float(value))}" for name, value in ranking)


def _format_frame(sample: SampledFrames, index: int, place: int) -> str:
    time = f"  {sample.times_s[place]:.2f} s" if sample.times_s else ""
    return f"#{index}{time}"
