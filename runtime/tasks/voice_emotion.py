"""The emotion of a voice: a whole recording, window by window."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtime.arrays import Waveform
from runtime.artifact.manifest import Resample
from runtime.errors import InputError
from runtime.media.audio.decode import check_waveform
from runtime.media.audio.silence import is_silent
from runtime.media.audio.windows import AudioWindow, cut_windows
from runtime.model import Model
from runtime.predict.prepare import LONGEST_RUN_S, Bounds, Prepared
from runtime.results import Classification, classification_json

WINDOW_S = (1.0, LONGEST_RUN_S)  # a shorter one says little
_SHORTEST_S = 1.0  # of a last window


@dataclass(frozen=True, slots=True)
class Options:
    """How a recording is cut."""

    window_s: float = (
        3.0  # attention takes memory by its square: 10 s of wav2vec2 do not fit 512 MB
    )
    overlap_s: float = 0.5  # of a window with the one before it, at most half of it

    def check(self) -> None:
        """Refuse what makes no windows.

        Raises:
            InputError: naming the option and what is allowed.
        """
        smallest, largest = WINDOW_S
        if not smallest <= self.window_s <= largest:
            raise InputError(f"window_s is {self.window_s:g}; allowed: {smallest:g} to {largest:g}")
        if not 0 <= self.overlap_s <= self.window_s / 2:
            allowed = f"0 to {self.window_s / 2:g}, half of window_s"
            raise InputError(f"overlap_s is {self.overlap_s:g}; allowed: {allowed}")


@dataclass(frozen=True, slots=True)
class Window:
    """What a model says of one stretch of a recording."""

    start_s: float
    end_s: float
    emotion: Classification | None  # None: silent, so nobody was asked

    @property
    def duration_s(self) -> float:
        """Seconds."""
        return self.end_s - self.start_s

    def to_json(self) -> dict[str, Any]:
        """`start_s`, `end_s`, `silent`, and the fields of a classification."""
        times = {"start_s": self.start_s, "end_s": self.end_s}
        return {**times, "silent": self.emotion is None, **classification_json(self.emotion)}


@dataclass(frozen=True, slots=True)
class VoiceEmotion:
    """The emotion of a recording: of each window, and overall."""

    labels: tuple[str, ...]  # K
    windows: tuple[Window, ...]  # in order, at least one

    @property
    def duration_s(self) -> float:
        """Of the recording."""
        return self.windows[-1].end_s

    @property
    def overall(self) -> Classification | None:
        """The mean of the windows that are not silent, by duration; None where all are silent."""
        heard = [(w.duration_s, w.emotion.probabilities) for w in self.windows if w.emotion]
        if not heard:
            return None
        weights, rows = zip(*heard, strict=True)
        mean = np.average(np.stack(rows), axis=0, weights=weights).astype(np.float32)
        return Classification(self.labels, mean)

    def to_json(self) -> dict[str, Any]:
        """The fields of a classification (null where all is silent), `silent`, the `windows`."""
        overall = self.overall
        return {
            **classification_json(overall),
            "silent": overall is None,
            "duration_s": self.duration_s,
            "windows": [window.to_json() for window in self.windows],
        }


def voice_emotion(
    model: Model,
    sound: bytes | Waveform,
    *,
    options: Options | None = None,
    bounds: Bounds | None = None,
) -> VoiceEmotion:
    """Classify a recording of any length in the memory of one window.

    Args:
        model: of the task audio-classification.
        sound: a file as `runtime.media.audio.decode` reads it, or (S,) float32 at the model's
            rate, in [-1, 1].
        options: how it is cut.
        bounds: the longest recording, and who decodes it; None for the defaults.

    Raises:
        InputError: the sound cannot be decoded, is shorter than 0.1 s or longer than allowed.
        ModelOutputError: an answer holds NaN or infinity.
    """
    options = options or Options()
    options.check()
    rate = sampling_rate(model)
    size = round(options.window_s * rate)
    # closed at once where a window fails: a decoder may be at work
    with closing(_blocks(sound, rate, bounds or Bounds())) as blocks:
        cuts = cut_windows(
            blocks,
            size=size,
            hop=size - round(options.overlap_s * rate),
            shortest=round(_SHORTEST_S * rate),
        )
        windows = tuple(_classified(model, cut, rate) for cut in cuts)
    return VoiceEmotion(model.spec.labels, windows)


def sampling_rate(model: Model) -> int:
    """Hz of the waveforms that a model takes.

    Raises:
        InputError: it takes none.
    """
    model.require_task("audio-classification")
    (step,) = model.spec.preprocess
    assert isinstance(step, Resample)  # the manifest refuses another
    return step.sampling_rate


def _blocks(sound: bytes | Waveform, rate: int, bounds: Bounds) -> Generator[Waveform, None, None]:
    if isinstance(sound, bytes):
        decode = bounds.decoders.stream_audio
        yield from decode(sound, sampling_rate=rate, max_seconds=bounds.recording_s)
        return
    if sound.dtype != np.float32 or sound.ndim != 1:
        found = f"{sound.dtype} {sound.shape}"
        raise InputError(f"waveform is {found}; allowed: float32 (S,) at {rate} Hz, in [-1, 1]")
    yield check_waveform(sound, rate)


def _classified(model: Model, cut: AudioWindow, rate: int) -> Window:
    start_s, end_s = cut.start / rate, (cut.start + cut.samples.size) / rate
    if is_silent(cut.samples, rate):
        return Window(start_s, end_s, None)
    emotion = model.answer(Prepared({model.spec.inputs[0].name: cut.samples[np.newaxis]}))
    assert isinstance(emotion, Classification)  # the task's result
    return Window(start_s, end_s, emotion)
