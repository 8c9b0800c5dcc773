"""The emotion of faces: find each face, cut it out, and let an ensemble vote on it.

The detector finds the faces. If there is no detector, or it finds no face, the members that are
detectors themselves look for faces. If they find none either, the whole image counts as one face,
and the result says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, NotRequired, TypedDict

import numpy as np

from runtime.arrays import Image
from runtime.errors import InputError
from runtime.media.images.decode import Photo
from runtime.model import Model
from runtime.predict.prepare import load_image
from runtime.results import (
    BoxJson,
    Classification,
    OptionalClassificationJson,
    ProvenanceJson,
    box_json,
    classification_json,
)
from runtime.tasks.augmentation import VIEWS, Tta
from runtime.tasks.ensemble import Ensemble
from runtime.tasks.faces import (
    FaceBoxes,
    Rectangle,
    RectangleJson,
    detect_faces,
    order_by_area,
    square_around,
)
from runtime.tasks.soft_voting import weighted_mean
from runtime.tasks.votes import (
    FaceRegion,
    ImageFaces,
    MemberVote,
    Status,
    collect_votes,
    votes_cast,
)

Faces = Literal["largest", "all"]
Crop = Literal["auto", "none"]

# Time grows with the number of faces; beyond this many, those of a crowd are too small to classify.
MOST_FACES = 64
# The crops of CK+, on which networks are trained, are 1.09 times as wide as the longer side of
# YuNet's box in the median, and up to 1.2 times. Of 173 faces mini-XCEPTION gets 106 right with
# this margin, 107 on CK+'s own crops, and 101 with half the margin.
MARGIN = 0.1
MARGINS = (0.0, 1.0)


class MemberJson(TypedDict):
    """The vote of a model on a face; without a vote the class is absent."""

    model: str
    status: Status
    weight: float
    share: Annotated[float, "of the weights of all votes on this face"]
    label: NotRequired[str]
    confidence: NotRequired[float]
    probabilities: NotRequired[dict[str, float]]


class FaceJson(OptionalClassificationJson):
    """A face, its emotion and the votes on it."""

    box: Annotated[BoxJson | None, "of the detector; null: the whole picture"]
    score: float | None
    crop: Annotated[RectangleJson, "the part that classifiers see"]
    members: list[MemberJson]


class FaceEmotionJson(OptionalClassificationJson):
    """The emotion of the largest face, and of all that were asked for."""

    face_found: Annotated[bool, "false: the whole picture was classified"]
    found_by: str | None
    faces_found: int
    faces: list[FaceJson]
    models: list[ProvenanceJson]
    left_out: Annotated[dict[str, str], "why a named model has no vote, by its id"]
    tta: Tta


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `face_emotion`."""

    faces: Faces = "largest"  # by area
    crop: Crop = "auto"  # none: the image is a face already, no detector runs
    margin: float = MARGIN  # around a face, as a share of its longer side; 0 to 1
    tta: Tta = "none"  # test-time augmentation: the views that are averaged
    early_exit: bool = True  # skip members that can no longer change the top label

    def check(self) -> None:
        """Refuse a margin out of range.

        Raises:
            InputError: naming the option and the range allowed.
        """
        if not MARGINS[0] <= self.margin <= MARGINS[1]:
            raise InputError(f"margin is {self.margin:g}; allowed: 0 to 1, of the face's side")


@dataclass(frozen=True, slots=True)
class FaceResult:
    """One face, its emotion and the votes on it."""

    region: FaceRegion
    emotion: Classification | None  # None: every member abstained
    votes: tuple[MemberVote, ...]  # one per member of the ensemble, in its order

    def to_json(self, labels: tuple[str, ...]) -> FaceJson:
        """Return `box`, `score`, `crop`, the fields of the emotion, and `members`."""
        box = self.region.box_xyxy
        total = sum(vote.weight for vote in votes_cast(self.votes))
        return {
            "box": None if box is None else box_json(box),
            "score": self.region.score,
            "crop": self.region.crop.to_json(),
            **classification_json(self.emotion),
            "members": [_member_json(member, total, labels) for member in self.votes],
        }


@dataclass(frozen=True, slots=True)
class FaceEmotion:
    """The faces of an image, the largest first; the whole image if no face was found."""

    labels: tuple[str, ...]  # (K,) as the heaviest member writes them
    faces: tuple[FaceResult, ...]  # at least one
    faces_found: int  # in the image; 0: the only face is the whole image
    found_by: str | None  # id of the detector whose boxes the faces are
    models: tuple[Model, ...]  # those that ran, detectors included
    left_out: Mapping[str, str]  # by model id: the reason why a named model cannot vote
    tta: Tta
    media_warnings: tuple[str, ...] = ()  # about the image's file
    lacks_detector: bool = False  # a face was to be found, and no model could look for it

    @property
    def lead(self) -> str:
        """Return the id of the heaviest member that voted on the largest face."""
        members = self.faces[0].votes
        return next((entry for entry in members if entry.status == "voted"), members[0]).model

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return those about the file, and one if it has more faces than one answer holds."""
        if not MOST_FACES == len(self.faces) < self.faces_found:
            return self.media_warnings
        return (
            *self.media_warnings,
            f"{MOST_FACES} of {self.faces_found} faces are answered, the largest",
        )

    def to_json(self) -> FaceEmotionJson:
        """Return the emotion of the largest face, then all `faces` and the `models` that ran."""
        return {
            **classification_json(self.faces[0].emotion),
            "face_found": self.faces_found > 0,
            "found_by": self.found_by,
            "faces_found": self.faces_found,
            "faces": [face.to_json(self.labels) for face in self.faces],
            "models": [model.provenance.to_json() for model in self.models],
            "left_out": dict(self.left_out),
            "tta": self.tta,
        }


def face_emotion(
    image: bytes | Photo | Image,
    ensemble: Ensemble,
    *,
    detector: Model | None = None,
    options: Options | None = None,
) -> FaceEmotion:
    """Find the faces of an image and let the ensemble vote on each.

    Args:
        image: an encoded file, a Photo, or (H, W, 3) uint8 RGB, upright.
        ensemble: the members that vote.
        detector: finds the faces; None if there is none.
        options: None for the defaults.

    Raises:
        InputError: the image cannot be decoded or does not fit a member, an option is out of
            range, or the detector is a model for another task.
        ModelOutputError: a model returned NaN, or probabilities that are none.
    """
    options = options or Options()
    options.check()
    if detector is not None:
        detector.require_task("object-detection")
    photo = load_image(image)
    pixels = photo.pixels
    search = _search_faces(pixels, ensemble, detector, options.crop)
    regions = _regions(pixels, search.boxes, options)
    image_faces = ImageFaces(pixels, regions, search.detections, VIEWS[options.tta])
    votes = collect_votes(ensemble, image_faces, early_exit=options.early_exit)
    return FaceEmotion(
        labels=ensemble.labels,
        faces=tuple(
            FaceResult(region, _emotion(members, ensemble.labels), members)
            for region, members in zip(regions, votes, strict=True)
        ),
        faces_found=0 if search.boxes is None else len(search.boxes.scores),
        found_by=search.found_by,
        models=_models_used(ensemble, detector, search, votes),
        left_out=ensemble.left_out,
        tta=options.tta,
        media_warnings=photo.warnings,
        lacks_detector=options.crop != "none" and not search.detections,
    )


@dataclass(frozen=True, slots=True)
class _Search:
    """The faces of an image, and the boxes of every detector that looked for them."""

    found_by: str | None
    boxes: FaceBoxes | None  # None: no detector found a face, or none ran
    detections: Mapping[str, FaceBoxes]


def _search_faces(image: Image, ensemble: Ensemble, detector: Model | None, crop: Crop) -> _Search:
    """Run the detectors in turn until one finds a face."""
    detections: dict[str, FaceBoxes] = {}
    members = [member.model for member in ensemble.members if member.is_detector]
    for model in () if crop == "none" else (*([detector] if detector else []), *members):
        boxes = detections[model.spec.id] = detect_faces(model, image)
        if len(boxes.scores):
            return _Search(model.spec.id, boxes, detections)
    return _Search(None, None, detections)


def _regions(image: Image, boxes: FaceBoxes | None, options: Options) -> tuple[FaceRegion, ...]:
    height, width = image.shape[:2]
    if boxes is None:
        return (FaceRegion(Rectangle(0, 0, width, height), None),)
    rows = order_by_area(boxes)[: MOST_FACES if options.faces == "all" else 1]
    return tuple(
        FaceRegion(
            square_around(box, height=height, width=width, margin=options.margin), box, float(score)
        )
        for box, score in zip(boxes.boxes_xyxy[rows], boxes.scores[rows], strict=True)
    )


def _emotion(votes: tuple[MemberVote, ...], labels: tuple[str, ...]) -> Classification | None:
    mean = weighted_mean(votes_cast(votes))
    return None if mean is None else Classification(labels, mean.astype(np.float32))


def _models_used(
    ensemble: Ensemble,
    detector: Model | None,
    search: _Search,
    votes: tuple[tuple[MemberVote, ...], ...],
) -> tuple[Model, ...]:
    used = {entry.model for members in votes for entry in members if entry.status != "not asked"}
    used |= set(search.detections)
    models = {member.model.spec.id: member.model for member in ensemble.members}
    models |= {detector.spec.id: detector} if detector else {}
    return tuple(model for model_id, model in models.items() if model_id in used)


def _member_json(member: MemberVote, total: float, labels: tuple[str, ...]) -> MemberJson:
    vote = member.vote
    fields: MemberJson = {
        "model": member.model,
        "status": member.status,
        "weight": member.weight,
        "share": 0.0 if vote is None else member.weight / total,
    }
    if vote is None:
        return fields
    return {**fields, **Classification(labels, vote.probabilities.astype(np.float32)).to_json()}
