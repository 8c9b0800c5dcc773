"""The emotion of a voice: classify a recording of any length window by window."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from runtime.arrays import Waveform
from runtime.artifact.manifest import Resample
from runtime.errors import InputError
from runtime.media.audio.decode import check_waveform
from runtime.media.audio.silence import is_silent
from runtime.media.audio.windows import AudioWindow, cut_windows
from runtime.model import Model
from runtime.predict.prepare import LONGEST_RUN_S, Bounds, Prepared
from runtime.results import (
    Classification,
    OptionalClassificationJson,
    classification_json,
)

WINDOW_S = (1.0, LONGEST_RUN_S)  # a shorter window holds too little speech
_SHORTEST_S = 1.0  # of the last window


class WindowJson(OptionalClassificationJson):
    """The emotion in one window of a recording, in seconds."""

    start_s: float
    end_s: float
    silent: bool


class VoiceEmotionJson(OptionalClassificationJson):
    """The emotion of a recording; silence has none."""

    silent: bool
    duration_s: float
    windows: list[WindowJson]


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `voice_emotion`: the windows of a recording."""

    # the memory of attention grows with its square: 10 s of wav2vec2 do not fit 512 MB
    window_s: float = 3.0
    overlap_s: float = 0.5  # of a window with the one before it; at most half a window

    def check(self) -> None:
        """Refuse lengths out of range.

        Raises:
            InputError: naming the option and the range allowed.
        """
        smallest, largest = WINDOW_S
        if not smallest <= self.window_s <= largest:
            raise InputError(f"window_s is {self.window_s:g}; allowed: {smallest:g} to {largest:g}")
        if not 0 <= self.overlap_s <= self.window_s / 2:
            allowed = f"0 to {self.window_s / 2:g}, half of window_s"
            raise InputError(f"overlap_s is {self.overlap_s:g}; allowed: {allowed}")


@dataclass(frozen=True, slots=True)
class Window:
    """The emotion in one window of a recording."""

    start_s: float
    end_s: float
    emotion: Classification | None  # None: the window is silent, the model did not run

    @property
    def duration_s(self) -> float:
        """Return the length in seconds."""
        return self.end_s - self.start_s

    def to_json(self) -> WindowJson:
        """Return `start_s`, `end_s`, `silent`, and the fields of a classification."""
        return {
            "start_s": self.start_s,
            "end_s": self.end_s,
            "silent": self.emotion is None,
            **classification_json(self.emotion),
        }


@dataclass(frozen=True, slots=True)
class VoiceEmotion:
    """The emotion of a recording: in each window, and overall."""

    labels: tuple[str, ...]  # K
    windows: tuple[Window, ...]  # in order, at least one
    media_warnings: tuple[str, ...] = ()  # about the recording's file

    @property
    def duration_s(self) -> float:
        """Return the length of the recording in seconds."""
        return self.windows[-1].end_s

    @property
    def overall(self) -> Classification | None:
        """Return the mean of the windows that are not silent, weighted by their duration.

        None if all windows are silent.
        """
        voiced = [(w.duration_s, w.emotion.probabilities) for w in self.windows if w.emotion]
        if not voiced:
            return None
        weights, rows = zip(*voiced, strict=True)
        mean = np.average(np.stack(rows), axis=0, weights=weights).astype(np.float32)
        return Classification(self.labels, mean)

    def to_json(self) -> VoiceEmotionJson:
        """Return the overall classification, `silent`, `duration_s` and `windows`.

        A silent recording has a null label.
        """
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
        model: a model for audio-classification.
        sound: a file that `runtime.media.audio.decode` reads, or (S,) float32 at the model's rate,
            in [-1, 1].
        options: the windows; None for the defaults.
        bounds: the longest recording, and the decoders; None for the defaults.

    Raises:
        InputError: the sound cannot be decoded, is shorter than 0.1 s or longer than allowed.
        ModelOutputError: an answer holds NaN or infinity.
    """
    options = options or Options()
    options.check()
    rate = sampling_rate(model)
    size = round(options.window_s * rate)
    # if a window fails, the decoder process stops at once
    warnings: list[str] = []
    with closing(_blocks(sound, rate, bounds or Bounds(), warnings)) as blocks:
        cuts = cut_windows(
            blocks,
            size=size,
            hop=size - round(options.overlap_s * rate),
            shortest=round(_SHORTEST_S * rate),
        )
        windows = tuple(_classify(model, cut, rate) for cut in cuts)
    return VoiceEmotion(model.spec.labels, windows, tuple(warnings))


def sampling_rate(model: Model) -> int:
    """Return the sampling rate in Hz of a model's waveforms.

    Raises:
        InputError: the model is for another task.
    """
    model.require_task("audio-classification")
    (step,) = model.spec.preprocess
    assert isinstance(step, Resample)  # read_manifest refuses any other step
    return step.sampling_rate


def _blocks(
    sound: bytes | Waveform, rate: int, bounds: Bounds, warnings: list[str]
) -> Generator[Waveform, None, None]:
    """Yield the recording block by block; add the warnings about its file to the list."""
    if isinstance(sound, bytes):
        decode = bounds.decoders.stream_audio
        yield from _timed(
            decode(sound, sampling_rate=rate, max_seconds=bounds.recording_s, warn=warnings.append),
            bounds,
        )
        return
    if sound.dtype != np.float32 or sound.ndim != 1:
        kind = f"{sound.dtype} {sound.shape}"
        raise InputError(f"waveform is {kind}; allowed: float32 (S,) at {rate} Hz, in [-1, 1]")
    yield check_waveform(sound, rate)


def _timed(blocks: Iterator[Waveform], bounds: Bounds) -> Iterator[Waveform]:
    """Yield the blocks; the decoder works within `bounds.decoding`.

    The blocks have no other reference: the decoder ends when this generator is closed.
    """
    while True:
        with bounds.decoding():
            block = next(blocks, None)
        if block is None:
            return
        yield block


def _classify(model: Model, cut: AudioWindow, rate: int) -> Window:
    start_s, end_s = cut.start / rate, (cut.start + cut.samples.size) / rate
    if is_silent(cut.samples, rate):
        return Window(start_s, end_s, None)
    emotion = model.answer(Prepared({model.spec.inputs[0].name: cut.samples[np.newaxis]}))
    assert isinstance(emotion, Classification)  # the result of this task
    return Window(start_s, end_s, emotion)
