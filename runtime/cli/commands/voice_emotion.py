"""`voice-emotion`: the emotion of voices, over whole recordings."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from runtime.cli.command import Answer, Command, ReadyCommand, share
from runtime.cli.files import read_file
from runtime.cli.options import declare_artifacts, declare_model
from runtime.cli.pictures import ranked, wave_of
from runtime.cli.shelf import Shelf
from runtime.draw import Picture, Span, draw_wave
from runtime.media.suffixes import SOUNDS
from runtime.predict.prepare import Bounds
from runtime.results import Classification
from runtime.tasks import defaults
from runtime.tasks.voice_emotion import Options, VoiceEmotion, sampling_rate, voice_emotion

SILENT = "silent: no emotion is told from it"


def _declare(parser: argparse.ArgumentParser) -> None:
    declare_artifacts(parser)
    declare_model(parser, defaults.VOICE_EMOTION_MODEL)
    add, default = parser.add_argument, Options()
    add(
        "--window",
        type=float,
        default=default.window_s,
        metavar="SECONDS",
        help="judged at a time (default: %(default)g)",
    )
    add(
        "--overlap",
        type=float,
        default=default.overlap_s,
        metavar="SECONDS",
        help="of a window with the one before it (default: %(default)g)",
    )


def _open(given: argparse.Namespace, bounds: Bounds) -> ReadyCommand:
    options = Options(given.window, given.overlap)
    options.check()
    model = Shelf(given.artifacts).find(given.model)
    sampling_rate(model)  # refuses a model of another task before any file

    def ask(path: Path) -> Answer:
        data = read_file(path)
        result = voice_emotion(model, data, options=options, bounds=bounds)
        return Answer(
            model.provenance,
            result.to_json(),
            tuple(_lines(result)),
            picture=lambda: _draw(data, result, bounds),
        )

    return ReadyCommand(ask, SOUNDS)


def _lines(result: VoiceEmotion) -> Iterator[str]:
    yield f"{_said(result.overall)}; {result.duration_s:.1f} s"
    if len(result.windows) > 1:
        yield from (
            f"{w.start_s:.1f} to {w.end_s:.1f} s: {_said(w.emotion)}" for w in result.windows
        )


def _said(emotion: Classification | None) -> str:
    return f"{emotion.label} {share(emotion.confidence)}" if emotion else SILENT


def _draw(data: bytes, result: VoiceEmotion, bounds: Bounds) -> Picture:
    spans = []
    for window in result.windows:
        said = window.emotion
        label = f"{said.label} {share(said.confidence)}" if said else "silent"
        kind = result.labels.index(said.label) if said else None
        spans.append(Span(window.start_s, window.end_s, label, kind))
    overall = result.overall
    return draw_wave(
        wave_of(data, result.duration_s, bounds),
        spans,
        caption=f"over all {result.duration_s:.1f} s: {ranked(overall) if overall else SILENT}",
    )


COMMAND = Command("voice-emotion", "the emotion of voices, over whole recordings", _declare, _open)
