"""`face-emotion`: the emotion of the faces in pictures."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from runtime.cli.command import Answer, Command, ReadyCommand, share
from runtime.cli.files import read_file
from runtime.cli.options import declare_artifacts
from runtime.cli.pictures import ranked
from runtime.cli.shelf import Shelf
from runtime.draw import Box, Picture, draw_boxes
from runtime.media.images.decode import decode_image
from runtime.media.suffixes import IMAGES
from runtime.model import Model
from runtime.predict.prepare import Bounds
from runtime.results import Classification
from runtime.tasks import defaults
from runtime.tasks.augmentation import VIEWS
from runtime.tasks.ensemble import Ensemble, build_ensemble, with_fallback
from runtime.tasks.face_emotion import (
    MARGIN,
    FaceEmotion,
    FaceResult,
    Options,
    face_emotion,
)
from runtime.tasks.soft_voting import parse_weights


def _declare(parser: argparse.ArgumentParser) -> None:
    declare_artifacts(parser)
    add = parser.add_argument
    add("--faces", choices=("largest", "all"), default="largest", help="default: largest")
    add("--crop", choices=("auto", "none"), default="auto", help="none: the picture is a face")
    add("--margin", type=float, default=MARGIN, help="around a face, as a share of its side")
    add("--tta", choices=tuple(VIEWS), default="none", help="variants that are averaged")
    add("--weights", metavar="ID:WEIGHT,...", help="who votes, and how much")
    found_by = defaults.FACE_DETECTOR_MODEL
    add(
        "--detector", metavar="ID", help=f"finds the faces (default: {found_by}, where it is there)"
    )
    add("--ask-all", action="store_true", help="also those who cannot change the top label")


def _open(given: argparse.Namespace, bounds: Bounds) -> ReadyCommand:
    shelf = Shelf(given.artifacts)
    panel = _panel(shelf, given.weights)
    options = Options(given.faces, given.crop, given.margin, given.tta, not given.ask_all)
    options.check()
    detector = None if given.crop == "none" else _detector(shelf, given.detector)

    def ask(path: Path) -> Answer:
        image = decode_image(read_file(path), max_pixels=bounds.pixels)
        result = face_emotion(image, panel, detector=detector, options=options)
        lead = next(model for model in result.models if model.spec.id == result.lead)
        return Answer(
            lead.provenance,
            result.to_json(),
            tuple(_lines(result)),
            result.warnings,
            lambda: _draw(image, result),
        )

    return ReadyCommand(ask, IMAGES)


def _detector(shelf: Shelf, name: str | None) -> Model | None:
    """Who finds the faces; the one that is not typed may be absent."""
    detector = shelf.get(defaults.FACE_DETECTOR_MODEL) if name is None else shelf.find(name)
    if detector is not None:
        detector.require_task("object-detection")
    return detector


def _panel(shelf: Shelf, text: str | None) -> Ensemble:
    if text is not None:
        weights = parse_weights(text)
        for name, _ in weights:
            shelf.find(name)
        return build_ensemble(weights, shelf)
    fallback = defaults.FACE_EMOTION_MODEL
    weights = with_fallback(defaults.FACE_EMOTION_WEIGHTS, shelf, lambda: shelf.find(fallback))
    return build_ensemble(weights, shelf)


def _lines(result: FaceEmotion) -> Iterator[str]:
    count = result.faces_found
    where = "1 face found" if count == 1 else f"{count} faces found"
    if not count:
        where = "no face found, the whole picture judged"
    yield f"{_said(result.faces[0].emotion)}; {where}"
    if len(result.faces) > 1:
        yield from (f"{_said(face.emotion)} at {_place(face)}" for face in result.faces)


def _said(emotion: Classification | None) -> str:
    return f"{emotion.label} {share(emotion.confidence)}" if emotion else "nobody could tell"


def _place(face: FaceResult) -> str:
    box = () if face.region.box_xyxy is None else face.region.box_xyxy.tolist()
    return " ".join(
        f"{name}={side:.0f}" for name, side in zip(("x1", "y1", "x2", "y2"), box, strict=False)
    )


def _draw(image: Picture, result: FaceEmotion) -> Picture:
    boxes = [_box(face, result.labels) for face in result.faces if face.region.box_xyxy is not None]
    first = result.faces[0].emotion
    told = ranked(first) if first else "nobody could tell"
    found = f"{result.faces_found} found by {result.found_by}"
    where = found if result.faces_found else "no face found, the whole picture judged"
    return draw_boxes(image, boxes, caption=f"{told} ({where})")


def _box(face: FaceResult, labels: tuple[str, ...]) -> Box:
    assert face.region.box_xyxy is not None  # asked by the caller
    kind = labels.index(face.emotion.label) if face.emotion else len(labels)
    return Box(tuple(face.region.box_xyxy.tolist()), _said(face.emotion), kind)


COMMAND = Command(
    "face-emotion", "the emotion of the faces in pictures, by the vote of models", _declare, _open
)
