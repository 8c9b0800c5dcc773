"""`run`: what any model says, as itself and without a task around it."""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from runtime.artifact.steps import SampleFrames
from runtime.cli.command import Answer, Command, ReadyCommand, share
from runtime.cli.files import read_file
from runtime.cli.pictures import clip_picture, ranked, sound_picture
from runtime.cli.shelf import loaded
from runtime.draw import Picture, draw_boxes, draw_matte
from runtime.draw.boxes import Box
from runtime.media.images.decode import decode_image
from runtime.media.suffixes import SUFFIXES
from runtime.model import Model
from runtime.predict.prepare import Bounds
from runtime.results import Alpha, Classification, Detections, Result, warnings_of


def _declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "artifact", type=Path, metavar="ARTIFACT_DIR", help="artifacts/<model>[/<version>]"
    )
    parser.add_argument("--condition", help="of the person in a clip, by a name the model knows")


def _open(options: argparse.Namespace, bounds: Bounds) -> ReadyCommand:
    model = loaded(options.artifact)

    def ask(path: Path) -> Answer:
        data = read_file(path)
        result = model.predict(data, condition=options.condition, bounds=bounds)
        picture = _picture(model, data, result, bounds)
        return Answer(
            model.provenance, result.to_json(), tuple(_lines(result)), warnings_of(result), picture
        )

    return ReadyCommand(ask, SUFFIXES[model.spec.task])


def _lines(result: Result) -> Iterator[str]:
    """The answer on one line, long lists cut; a line more for each detection."""
    if isinstance(result, Detections):
        yield f"{len(result.scores)} found"
        for found in result.to_json()["detections"]:
            box = " ".join(f"{name}={value:.1f}" for name, value in found["box"].items())
            yield f"{found['label']} {found['score']:.4f} {box}"
    else:
        yield ", ".join(f"{name} {_short(value)}" for name, value in result.to_json().items())


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, list):
        return f"[{', '.join(_short(item) for item in value[:4])}, ...]"
    if isinstance(value, dict):
        return " ".join(f"{name}={_short(item)}" for name, item in value.items())
    return str(value)


def _picture(
    model: Model, data: bytes, result: Result, bounds: Bounds
) -> Callable[[], Picture] | None:
    """How to draw the answer; None where there is nothing to be seen."""
    step = next(iter(model.spec.preprocess), None)
    match result:
        case Classification() if model.spec.task == "audio-classification":
            return lambda: sound_picture(data, result, bounds)
        case Classification() if isinstance(step, SampleFrames):
            return lambda: clip_picture(data, step.count, ranked(result), bounds)
        case Classification() | Detections() | Alpha():
            return lambda: _image_picture(data, result, bounds)
        case _:
            return None


def _image_picture(
    data: bytes, result: Classification | Detections | Alpha, bounds: Bounds
) -> Picture:
    image = decode_image(data, max_pixels=bounds.pixels)
    match result:
        case Detections():
            return draw_boxes(image, tuple(_boxes(result)), caption=f"{len(result.scores)} found")
        case Alpha():
            caption = f"foreground {result.values.mean():.0%}"
            return draw_matte(image, image, result.values, caption=caption)
        case Classification():
            return draw_boxes(image, (), caption=ranked(result))


def _boxes(result: Detections) -> Iterator[Box]:
    for row, box in enumerate(result.boxes_xyxy.tolist()):
        kind, points = int(result.classes[row]), result.keypoints
        label = f"{result.labels[kind]} {share(float(result.scores[row]))}"
        yield Box(tuple(box), label, kind, None if points is None else points[row])


COMMAND = Command("run", "what one model says of images, sounds, clips or texts", _declare, _open)
