"""`face-emotion`: the emotion of the faces in images."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from runtime.arrays import Image
from runtime.cli.command import Answer, Command, ReadyCommand, format_top_class
from runtime.cli.files import read_file
from runtime.cli.model_repository import ModelRepository
from runtime.cli.options import add_artifacts_option
from runtime.cli.pictures import format_ranking
from runtime.draw import Box, draw_boxes
from runtime.media.images.decode import decode_photo
from runtime.media.suffixes import IMAGES
from runtime.model import Model
from runtime.predict.prepare import Bounds
from runtime.results import Classification
from runtime.tasks import defaults
from runtime.tasks.augmentation import Tta
from runtime.tasks.ensemble import Ensemble, build_ensemble, with_fallback
from runtime.tasks.face_emotion import (
    MARGIN,
    Crop,
    FaceEmotion,
    FaceResult,
    Faces,
    Options,
    face_emotion,
)
from runtime.tasks.soft_voting import parse_weights

_NO_EMOTION = "no emotion: all members abstained"
_NO_FACE = "no face found, classified the whole image"


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_artifacts_option(parser)
    add = parser.add_argument
    add(
        "--faces",
        choices=get_args(Faces),
        default="largest",
        help="which faces to answer (default: %(default)s)",
    )
    add(
        "--crop",
        choices=get_args(Crop),
        default="auto",
        help="auto: find the faces and cut each out; none: the image is a face already "
        "(default: %(default)s)",
    )
    add(
        "--margin",
        type=float,
        default=MARGIN,
        metavar="SHARE",
        help="space around a face, as a share of its longer side, 0 to 1 (default: %(default)s)",
    )
    add(
        "--tta",
        choices=get_args(Tta),
        default="none",
        help="test-time augmentation: average over views of the image. flip: also mirrored; full: "
        "also turned, darker and brighter (default: %(default)s)",
    )
    members = ", ".join(f"{name}:{weight}" for name, weight in defaults.FACE_EMOTION_WEIGHTS)
    add(
        "--vote-weights",
        "--weights",  # deprecated: the former name
        metavar="ID:WEIGHT,...",
        help="models that vote, with their weights; an id alone weighs 1 (default: those present "
        f"of {members}; if none is, {defaults.FACE_EMOTION_MODEL} alone); --weights is the old "
        "name, until the next release",
    )
    add(
        "--detector",
        metavar="ID",
        help=f"model that finds the faces (default: {defaults.FACE_DETECTOR_MODEL}, or "
        f"{defaults.FACE_DETECTOR_FALLBACK} if that is absent)",
    )
    add(
        "--ask-all",
        action="store_true",
        help="run every model on every face, even if it can no longer change the label",
    )


def _prepare(options: argparse.Namespace, bounds: Bounds) -> ReadyCommand:
    repository = ModelRepository(options.artifacts)
    ensemble = _ensemble(repository, options.vote_weights)
    task_options = Options(
        options.faces, options.crop, options.margin, options.tta, not options.ask_all
    )
    task_options.check()
    detector = None if options.crop == "none" else _detector(repository, options.detector)

    def answer(path: Path) -> Answer:
        photo = decode_photo(read_file(path), max_pixels=bounds.pixels)
        result = face_emotion(photo, ensemble, detector=detector, options=task_options)
        lead = next(model for model in result.models if model.spec.id == result.lead)
        return Answer(
            lead.provenance,
            result.to_json(),
            tuple(_lines(result)),
            result.warnings,
            lambda: _draw(photo.pixels, result),
        )

    return ReadyCommand(answer, IMAGES)


def _detector(repository: ModelRepository, model_id: str | None) -> Model | None:
    """Load the detector; the default one may be absent, one that the user names may not."""
    if model_id is None:
        detector = repository.get(defaults.FACE_DETECTOR_MODEL)
        if detector is None:
            detector = repository.get(defaults.FACE_DETECTOR_FALLBACK)
    else:
        detector = repository.find(model_id)
    if detector is not None:
        detector.require_task("object-detection")
    return detector


def _ensemble(repository: ModelRepository, weights_text: str | None) -> Ensemble:
    if weights_text is not None:
        weights = parse_weights(weights_text)
        for model_id, _ in weights:
            repository.find(model_id)
        return build_ensemble(weights, repository)
    weights = with_fallback(
        defaults.FACE_EMOTION_WEIGHTS,
        repository,
        lambda: repository.find(defaults.FACE_EMOTION_MODEL),
    )
    return build_ensemble(weights, repository)


def _lines(result: FaceEmotion) -> Iterator[str]:
    count = result.faces_found
    faces = "1 face found" if count == 1 else f"{count} faces found"
    yield f"{_format_emotion(result.faces[0].emotion)}; {faces if count else _NO_FACE}"
    if len(result.faces) > 1:
        yield from (
            f"{_format_emotion(face.emotion)} at {_format_box(face)}" for face in result.faces
        )


def _format_emotion(emotion: Classification | None) -> str:
    return format_top_class(emotion) if emotion else _NO_EMOTION


def _format_box(face: FaceResult) -> str:
    box = () if face.region.box_xyxy is None else face.region.box_xyxy.tolist()
    return " ".join(
        f"{name}={side:.0f}" for name, side in zip(("x1", "y1", "x2", "y2"), box, strict=False)
    )


def _draw(image: Image, result: FaceEmotion) -> Image:
    boxes = [_box(face, result.labels) for face in result.faces if face.region.box_xyxy is not None]
    first = result.faces[0].emotion
    ranking = format_ranking(first) if first else _NO_EMOTION
    count = f"{result.faces_found} found by {result.found_by}"
    return draw_boxes(
        image, boxes, caption=f"{ranking} ({count if result.faces_found else _NO_FACE})"
    )


def _box(face: FaceResult, labels: tuple[str, ...]) -> Box:
    assert face.region.box_xyxy is not None  # the caller checks
    kind = labels.index(face.emotion.label) if face.emotion else len(labels)
    return Box(tuple(face.region.box_xyxy.tolist()), _format_emotion(face.emotion), kind)


COMMAND = Command(
    "face-emotion",
    "Find faces in images and classify their emotion; several models vote.",
    _add_options,
    _prepare,
)
