"""`gait`: how people walk in clips."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from runtime.cli.command import Answer, Command, ReadyCommand, share
from runtime.cli.files import read_file
from runtime.cli.options import declare_artifacts, declare_model
from runtime.cli.pictures import clip_picture, ranked
from runtime.cli.shelf import Shelf
from runtime.media.suffixes import CLIPS
from runtime.predict.prepare import Bounds
from runtime.tasks import defaults
from runtime.tasks.gait import Gait, gait


def _declare(parser: argparse.ArgumentParser) -> None:
    declare_artifacts(parser)
    declare_model(parser, defaults.GAIT_MODEL)
    parser.add_argument(
        "--condition",
        metavar="TEXT",
        help="of the person: a name that the model knows, else free text for a text model",
    )


def _open(given: argparse.Namespace, bounds: Bounds) -> ReadyCommand:
    shelf = Shelf(given.artifacts)
    model = shelf.find(given.model)
    model.require_task("video-classification")

    def ask(path: Path) -> Answer:
        data = read_file(path)
        texts = shelf.of_task("sentence-similarity")
        result = gait(data, model, condition=given.condition, text_models=texts, bounds=bounds)
        count = len(result.frames.indices)
        return Answer(
            model.provenance,
            result.to_json(),
            tuple(_lines(result)),
            picture=lambda: clip_picture(data, count, "; ".join(list(_lines(result))[1:]), bounds),
        )

    return ReadyCommand(ask, CLIPS)


def _lines(result: Gait) -> Iterator[str]:
    walk, frames, told = result.walk, result.frames, result.condition
    yield f"{walk.label} {share(walk.confidence)}; {_counted(frames.clip_frames)}"
    yield ranked(walk)
    if told.read_as != "nothing":
        by = told.text_model.spec.id if told.text_model else "name"
        yield f"condition: {told.name or told.text} (read by {by})"


def _counted(clip_frames: int) -> str:
    return "1 frame" if clip_frames == 1 else f"{clip_frames} frames"


COMMAND = Command("gait", "how people walk in clips", _declare, _open)
