"""`gait`: how people walk in clips."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from runtime.cli.command import Answer, Command, ReadyCommand, format_top_class
from runtime.cli.files import read_file
from runtime.cli.model_repository import ModelRepository
from runtime.cli.options import add_artifacts_option, add_model_option
from runtime.cli.pictures import draw_clip, format_ranking
from runtime.media.suffixes import CLIPS
from runtime.predict.prepare import Bounds
from runtime.tasks import defaults
from runtime.tasks.gait import Gait, gait


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_artifacts_option(parser)
    add_model_option(parser, defaults.GAIT_MODEL)
    parser.add_argument(
        "--condition",
        metavar="TEXT",
        help="what is known about the person's health: a condition that the model knows by name, "
        "such as stroke, or free text if a text model is present (default: nothing known)",
    )


def _prepare(options: argparse.Namespace, bounds: Bounds) -> ReadyCommand:
    repository = ModelRepository(options.artifacts)
    model = repository.find(options.model)
    model.require_task("video-classification")

    def answer(path: Path) -> Answer:
        data = read_file(path)
        text_models = repository.of_task("sentence-similarity")
        result = gait(
            data, model, condition=options.condition, text_models=text_models, bounds=bounds
        )
        first, *others = _lines(result)
        count, caption = len(result.frames.indices), "; ".join(others)
        return Answer(
            model.provenance,
            result.to_json(),
            (first, *others),
            result.walk.media_warnings,
            picture=lambda: draw_clip(data, count, caption, bounds),
        )

    return ReadyCommand(answer, CLIPS)


def _lines(result: Gait) -> Iterator[str]:
    walk, condition = result.walk, result.condition
    yield f"{format_top_class(walk)}; {_format_count(result.frames.clip_frames)}"
    yield format_ranking(walk)
    if condition.read_as != "nothing":
        reader = condition.text_model.spec.id if condition.text_model else "name"
        yield f"condition: {condition.name or condition.text} (read by {reader})"


def _format_count(clip_frames: int) -> str:
    return "1 frame" if clip_frames == 1 else f"{clip_frames} frames"


COMMAND = Command("gait", "Classify how people walk in video clips.", _add_options, _prepare)
