"""The emotion of a face: find it, cut it out, and let several models vote.

A face is where the detector finds one. Where it finds none, or there is no detector, a member that
detects faces itself may find it; else the whole picture is taken for a face, as the result says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from runtime.arrays import Image
from runtime.errors import InputError
from runtime.model import Model
from runtime.predict.prepare import load_image
from runtime.results import Classification, classification_json
from runtime.tasks.augmentation import VARIANTS, Tta
from runtime.tasks.ensemble import Ensemble
from runtime.tasks.faces import (
    Boxes,
    Region,
    find_boxes,
    largest_first,
    region_around,
)
from runtime.tasks.soft_voting import combine
from runtime.tasks.votes import Ballot, FaceRegion, Scene, cast

Faces = Literal["largest", "all"]
Crop = Literal["auto", "none"]

# a request costs as much as it has faces; those of a crowd beyond it are too small to judge
MOST_FACES = 64
# the crops of CK+, as networks are trained on them, are 1.09 times as wide as the longer side of
# YuNet's box in the median, and up to 1.2 times; cut again with this margin, mini-XCEPTION judges
# 106 of 173 right, of the crops as they are 107, with half the margin 101
MARGIN = 0.1


@dataclass(frozen=True, slots=True)
class Options:
    """What may be asked for."""

    faces: Faces = "largest"  # by area
    crop: Crop = "auto"  # none: the picture is a face already, nothing is looked for
    margin: float = MARGIN  # around a face, as a share of its longer side; 0 to 1
    tta: Tta = "none"  # test-time augmentation: which variants are averaged
    early_exit: bool = True  # do not ask a member who cannot change the top label

    def check(self) -> None:
        """Refuse what is out of range.

        Raises:
            InputError: naming the option and what is allowed.
        """
        if not 0 <= self.margin <= 1:
            raise InputError(f"margin is {self.margin:g}; allowed: 0 to 1, of the face's side")


@dataclass(frozen=True, slots=True)
class FaceResult:
    """One face and its emotion."""

    spot: FaceRegion
    emotion: Classification | None  # None: every member abstained
    ballots: tuple[Ballot, ...]  # of every member of the panel, in the order in which it asks

    def to_json(self, labels: tuple[str, ...]) -> dict[str, Any]:
        """`box`, `score`, `crop`, the emotion's fields, and `members`."""
        box = self.spot.box_xyxy
        names = ("x1", "y1", "x2", "y2")
        corners = None if box is None else dict(zip(names, box.tolist(), strict=True))
        given = sum(vote.weight for ballot in self.ballots for vote in ballot.votes)
        return {
            "box": corners,
            "score": self.spot.score,
            "crop": self.spot.region.to_json(),
            **classification_json(self.emotion),
            "members": [_ballot_json(ballot, given, labels) for ballot in self.ballots],
        }


@dataclass(frozen=True, slots=True)
class FaceEmotion:
    """The faces of a picture, the largest first; where none was found, the whole picture."""

    labels: tuple[str, ...]  # (K,) in the words of the member that weighs most
    faces: tuple[FaceResult, ...]  # at least one
    faces_found: int  # in the picture; 0: the one face is the whole picture
    found_by: str | None  # id of the model whose boxes the faces are
    models: tuple[Model, ...]  # that were asked, detectors among them
    left_out: Mapping[str, str]  # why a model that was named has no vote, by its id
    tta: Tta

    @property
    def lead(self) -> str:
        """Id of the member that weighs most in the answer for the largest face."""
        ballots = self.faces[0].ballots
        return next((each for each in ballots if each.status == "voted"), ballots[0]).model

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return a sentence if the picture has more faces than one answer holds."""
        if not MOST_FACES == len(self.faces) < self.faces_found:
            return ()
        return (f"{MOST_FACES} of {self.faces_found} faces are answered, the largest",)

    def to_json(self) -> dict[str, Any]:
        """The emotion of the largest face on top; `faces`, and who was asked."""
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
    image: bytes | Image,
    panel: Ensemble,
    *,
    detector: Model | None = None,
    options: Options | None = None,
) -> FaceEmotion:
    """Find the faces of a picture and let the panel vote on each.

    Args:
        image: an encoded file, or (H, W, 3) uint8 RGB, upright.
        panel: who votes.
        detector: finds the faces; None where there is none.
        options: None for the defaults.

    Raises:
        InputError: the image cannot be decoded or does not fit a member, an option is out of
            range, or the detector is none.
        ModelOutputError: the answer of a model holds NaN, or is no probabilities.
    """
    options = options or Options()
    options.check()
    if detector is not None:
        detector.require_task("object-detection")
    pixels = load_image(image)
    found = _find(pixels, panel, detector, options.crop)
    scene = Scene(pixels, _spots(pixels, found, options), found.seen, VARIANTS[options.tta])
    ballots = cast(panel, scene, early_exit=options.early_exit)
    return FaceEmotion(
        labels=panel.labels,
        faces=tuple(
            FaceResult(spot, _emotion(each, panel.labels), each)
            for spot, each in zip(scene.spots, ballots, strict=True)
        ),
        faces_found=0 if found.boxes is None else len(found.boxes.scores),
        found_by=found.finder,
        models=_asked(panel, detector, found, ballots),
        left_out=panel.left_out,
        tta=options.tta,
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found, and who looked."""

    finder: str | None
    boxes: Boxes | None  # None: nothing, or not looked for
    seen: Mapping[str, Boxes]


def _find(image: Image, panel: Ensemble, detector: Model | None, crop: Crop) -> _Found:
    """By the first that finds any."""
    seen: dict[str, Boxes] = {}
    own = [member.model for member in panel.members if member.detects]
    for model in () if crop == "none" else (*([detector] if detector else []), *own):
        boxes = seen[model.spec.id] = find_boxes(model, image)
        if len(boxes.scores):
            return _Found(model.spec.id, boxes, seen)
    return _Found(None, None, seen)


def _spots(image: Image, found: _Found, options: Options) -> tuple[FaceRegion, ...]:
    height, width = image.shape[:2]
    if found.boxes is None:
        return (FaceRegion(Region(0, 0, width, height), None),)
    rows = largest_first(found.boxes)[: MOST_FACES if options.faces == "all" else 1]
    return tuple(
        FaceRegion(
            region_around(box, height=height, width=width, margin=options.margin), box, float(score)
        )
        for box, score in zip(found.boxes.boxes_xyxy[rows], found.boxes.scores[rows], strict=True)
    )


def _emotion(ballots: tuple[Ballot, ...], labels: tuple[str, ...]) -> Classification | None:
    shares = combine([vote for ballot in ballots for vote in ballot.votes])
    return None if shares is None else Classification(labels, shares.astype(np.float32))


def _asked(
    panel: Ensemble, detector: Model | None, found: _Found, ballots: tuple[tuple[Ballot, ...], ...]
) -> tuple[Model, ...]:
    asked = {each.model for face in ballots for each in face if each.status != "not asked"}
    known = {member.model.spec.id: member.model for member in panel.members}
    known |= {detector.spec.id: detector} if detector else {}
    return tuple(model for name, model in known.items() if name in asked | set(found.seen))


def _ballot_json(ballot: Ballot, given: float, labels: tuple[str, ...]) -> dict[str, Any]:
    said = ballot.probabilities
    vote = None if said is None else Classification(labels, said.astype(np.float32))
    return {
        "model": ballot.model,
        "status": ballot.status,
        "weight": ballot.weight,
        "share": 0.0 if said is None else ballot.weight / given,
        **({} if vote is None else vote.to_json()),
    }
