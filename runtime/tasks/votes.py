"""Collect the votes of an ensemble on the faces of one image, one member after the other."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from runtime.arrays import Image
from runtime.media.images.preprocess import preprocess
from runtime.tasks.augmentation import View
from runtime.tasks.ensemble import Ensemble, Member
from runtime.tasks.faces import FaceBoxes, Rectangle, detect_faces, match_face
from runtime.tasks.soft_voting import Floats, Vote, is_decided, normalized

Status = Literal["voted", "abstained", "not asked"]


@dataclass(frozen=True, slots=True)
class MemberVote:
    """The vote of one member on one face, or the reason why it cast none."""

    model: str  # id
    weight: float
    status: Status  # "not asked": it could no longer change the top label
    probabilities: Floats | None = None  # (K,) in the ensemble's label order; None: no vote

    @property
    def vote(self) -> Vote | None:
        """Return the vote, None if the member cast none."""
        return None if self.probabilities is None else Vote(self.weight, self.probabilities)


@dataclass(frozen=True, slots=True)
class FaceRegion:
    """The place of a face in an image."""

    crop: Rectangle  # the part that classifiers see
    box_xyxy: NDArray[np.float32] | None  # (4,) px; None: the whole image counts as the face
    score: float | None = None  # of the detector, in [0, 1]


@dataclass(frozen=True, slots=True)
class ImageFaces:
    """An image, its faces, and the detections that are already known."""

    image: Image
    faces: tuple[FaceRegion, ...]
    detections: Mapping[str, FaceBoxes]  # by detector id, in the image as it is
    views: tuple[View, ...]  # the first is the image as it is


def collect_votes(
    ensemble: Ensemble, image_faces: ImageFaces, *, early_exit: bool
) -> tuple[tuple[MemberVote, ...], ...]:
    """Let each member vote on the faces that are still undecided.

    Args:
        ensemble: its members vote in their order.
        image_faces: the image and its faces.
        early_exit: skip a face for the remaining members once they cannot change its top label.

    Returns:
        For each face, one entry per member.
    """
    faces = image_faces.faces
    collected: list[tuple[MemberVote, ...]] = [() for _ in faces]
    for index, member in enumerate(ensemble.members):
        remaining_weight = sum(other.weight for other in ensemble.members[index:])
        rows = [
            row
            for row, votes in enumerate(collected)
            if not (early_exit and is_decided(votes_cast(votes), remaining_weight))
        ]
        answers = _vote(member, image_faces, [faces[row] for row in rows])
        by_row = dict(zip(rows, answers, strict=True))
        for row in range(len(faces)):
            collected[row] += (
                _member_vote(member, by_row[row]) if row in by_row else _not_asked(member),
            )
    return tuple(collected)


def votes_cast(member_votes: Iterable[MemberVote]) -> list[Vote]:
    """Return the votes of the members that cast one."""
    return [entry.vote for entry in member_votes if entry.vote is not None]


def _not_asked(member: Member) -> MemberVote:
    return MemberVote(member.model.spec.id, member.weight, "not asked")


def _member_vote(member: Member, probabilities: Floats | None) -> MemberVote:
    status: Status = "abstained" if probabilities is None else "voted"
    return MemberVote(member.model.spec.id, member.weight, status, probabilities)


def _vote(
    member: Member, image_faces: ImageFaces, faces: Sequence[FaceRegion]
) -> list[Floats | None]:
    if not faces:
        return []
    vote = _vote_by_detection if member.is_detector else _vote_by_classification
    return vote(member, image_faces, faces)


def _vote_by_classification(
    member: Member, image_faces: ImageFaces, faces: Sequence[FaceRegion]
) -> list[Floats | None]:
    """Average the probabilities over the views of each face's crop.

    The views of a face run as one batch, the faces one after the other: a batch of faces is no
    faster, and eight crops of EfficientNet-B3 at once took 90 MB more.
    """
    spec = member.model.spec
    # Allocated before the runs. Arrays that are allocated between runs and kept split the heap's
    # free tensors: 52 faces of one photo took 600 MB instead of 195.
    means = np.empty((len(faces), len(member.label_order)))
    for mean, face in zip(means, faces, strict=True):
        crop = np.ascontiguousarray(face.crop.cut(image_faces.image))
        batch = [preprocess(view.apply(crop), spec.preprocess) for view in image_faces.views]
        outputs = member.model.run({spec.inputs[0].name: np.stack(batch)}, ["probabilities"])
        rows = [normalized(row, spec.id)[member.label_order] for row in outputs["probabilities"]]
        mean[:] = np.mean(rows, axis=0)
    return list(means)


def _vote_by_detection(
    member: Member, image_faces: ImageFaces, faces: Sequence[FaceRegion]
) -> list[Floats | None]:
    """Average the scores over the views in which the detector finds the face.

    A face that it finds in no view gets None. The views run one at a time: six images of
    640 x 640 px in a batch took 157 MB more, and 1.4 times as long.
    """
    totals = np.zeros((len(faces), len(member.label_order)))
    counts = np.zeros(len(faces), np.int64)
    before = image_faces.image.shape[:2]
    for number, view in enumerate(image_faces.views):
        image = view.apply(image_faces.image)
        detections = image_faces.detections.get(member.model.spec.id) if number == 0 else None
        boxes = detections or detect_faces(member.model, image)
        for row, face in enumerate(faces):
            box = face.box_xyxy
            if box is not None:
                box = view.move_box(box, before=before, after=image.shape[:2])
            match = match_face(boxes, box)
            if match is not None:
                scores = normalized(boxes.class_scores[match], member.model.spec.id)
                totals[row] += scores[member.label_order]
                counts[row] += 1
    return [total / count if count else None for total, count in zip(totals, counts, strict=True)]
