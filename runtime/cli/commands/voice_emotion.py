"""`voice-emotion`: the emotion of voices, over whole recordings."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from runtime.arrays import Image
from runtime.cli.command import Answer, Command, ReadyCommand, format_top_class
from runtime.cli.files import read_file
from runtime.cli.model_repository import ModelRepository
from runtime.cli.options import add_artifacts_option, add_model_option
from runtime.cli.pictures import format_ranking, wave_of
from runtime.draw import Span, draw_wave
from runtime.media.suffixes import SOUNDS
from runtime.predict.prepare import Bounds
from runtime.results import Classification
from runtime.tasks import defaults
from runtime.tasks.voice_emotion import Options, VoiceEmotion, sampling_rate, voice_emotion

SILENT = "silent, no emotion"


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_artifacts_option(parser)
    add_model_option(parser, defaults.VOICE_EMOTION_MODEL)
    add, default = parser.add_argument, Options()
    add(
        "--window",
        type=float,
        default=default.window_s,
        metavar="SECONDS",
        help="length of the windows that are classified one by one, 1 to 30; longer ones take more "
        "memory (default: %(default)g)",
    )
    add(
        "--overlap",
        type=float,
        default=default.overlap_s,
        metavar="SECONDS",
        help="overlap of a window with the one before it, at most half a window "
        "(default: %(default)g)",
    )


def _prepare(options: argparse.Namespace, bounds: Bounds) -> ReadyCommand:
    windows = Options(options.window, options.overlap)
    windows.check()
    model = ModelRepository(options.artifacts).find(options.model)
    sampling_rate(model)  # refuses a model for another task before any file is read

    def answer(path: Path) -> Answer:
        data = read_file(path)
        result = voice_emotion(model, data, options=windows, bounds=bounds)
        return Answer(
            model.provenance,
            result.to_json(),
            tuple(_lines(result)),
            result.media_warnings,
            picture=lambda: _draw(data, result, bounds),
        )

    return ReadyCommand(answer, SOUNDS)


def _lines(result: VoiceEmotion) -> Iterator[str]:
    yield f"{_format_emotion(result.overall)}; {result.duration_s:.1f} s"
    if len(result.windows) > 1:
        yield from (
            f"{w.start_s:.1f} to {w.end_s:.1f} s: {_format_emotion(w.emotion)}"
            for w in result.windows
        )


def _format_emotion(emotion: Classification | None) -> str:
    return format_top_class(emotion) if emotion else SILENT


def _draw(data: bytes, result: VoiceEmotion, bounds: Bounds) -> Image:
    spans = []
    for window in result.windows:
        emotion = window.emotion
        label = format_top_class(emotion) if emotion else "silent"
        kind = result.labels.index(emotion.label) if emotion else None
        spans.append(Span(window.start_s, window.end_s, label, kind))
    overall = format_ranking(result.overall) if result.overall else SILENT
    return draw_wave(
        wave_of(data, result.duration_s, bounds),
        spans,
        caption=f"over all {result.duration_s:.1f} s: {overall}",
    )


COMMAND = Command(
    "voice-emotion",
    "Classify the emotion of a voice, window by window, over a whole recording.",
    _add_options,
    _prepare,
)
