"""`run`: one model alone, of any task."""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from runtime.arrays import Image
from runtime.artifact.steps import SampleFrames
from runtime.cli.command import Answer, Command, ReadyCommand, format_probability
from runtime.cli.files import read_file
from runtime.cli.model_repository import load_with_caution
from runtime.cli.pictures import draw_clip, draw_sound, format_ranking
from runtime.draw import draw_boxes, draw_matte
from runtime.draw.boxes import Box
from runtime.media.images.decode import decode_image
from runtime.media.suffixes import SUFFIXES
from runtime.model import Model
from runtime.predict.prepare import Bounds
from runtime.results import Alpha, Classification, Detections, Result, warnings_of


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "artifact",
        type=Path,
        metavar="ARTIFACT_DIR",
        help="directory of the model, or of one of its versions: artifacts/MODEL[/VERSION]",
    )
    parser.add_argument(
        "--condition",
        metavar="NAME",
        help="for a model of gait: what is known about the person's health, by a name that the "
        "model knows (default: nothing known)",
    )


def _prepare(options: argparse.Namespace, bounds: Bounds) -> ReadyCommand:
    model = load_with_caution(options.artifact)

    def answer(path: Path) -> Answer:
        data = read_file(path)
        result = model.predict(data, condition=options.condition, bounds=bounds)
        picture = _picture(model, data, result, bounds)
        return Answer(
            model.provenance, result.to_json(), tuple(_lines(result)), warnings_of(result), picture
        )

    return ReadyCommand(answer, SUFFIXES[model.spec.task])


def _lines(result: Result) -> Iterator[str]:
    """Format a result: a line per detection; of any other task one line, long lists truncated."""
    if isinstance(result, Detections):
        yield f"{len(result.scores)} found"
        for detection in result.to_json()["detections"]:
            box = " ".join(f"{name}={value:.1f}" for name, value in detection["box"].items())
            yield f"{detection['label']} {detection['score']:.4f} {box}"
    else:
        yield ", ".join(f"{name} {_format(value)}" for name, value in result.to_json().items())


def _format(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, list):
        return f"[{', '.join(_format(item) for item in value[:4])}, ...]"
    if isinstance(value, dict):
        return " ".join(f"{name}={_format(item)}" for name, item in value.items())
    return str(value)


def _picture(
    model: Model, data: bytes, result: Result, bounds: Bounds
) -> Callable[[], Image] | None:
    """Return a function that draws the answer; None if it cannot be drawn."""
    step = next(iter(model.spec.preprocess), None)
    match result:
        case Classification() if model.spec.task == "audio-classification":
            return lambda: draw_sound(data, result, bounds)
        case Classification() if isinstance(step, SampleFrames):
            return lambda: draw_clip(data, step.count, format_ranking(result), bounds)
        case Classification() | Detections() | Alpha():
            return lambda: _draw_image(data, result, bounds)
        case _:
            return None


def _draw_image(data: bytes, result: Classification | Detections | Alpha, bounds: Bounds) -> Image:
    image = decode_image(data, max_pixels=bounds.pixels)
    match result:
        case Detections():
            return draw_boxes(image, tuple(_boxes(result)), caption=f"{len(result.scores)} found")
        case Alpha():
            caption = f"foreground {result.values.mean():.0%}"
            return draw_matte(image, image, result.values, caption=caption)
        case Classification():
            return draw_boxes(image, (), caption=format_ranking(result))


def _boxes(result: Detections) -> Iterator[Box]:
    for row, box in enumerate(result.boxes_xyxy.tolist()):
        kind, points = int(result.classes[row]), result.keypoints
        label = f"{result.labels[kind]} {format_probability(float(result.scores[row]))}"
        yield Box(tuple(box), label, kind, None if points is None else points[row])


COMMAND = Command(
    "run",
    "Run one model, of any task, on images, sounds, clips or texts.",
    _add_options,
    _prepare,
)
