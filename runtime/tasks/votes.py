"""The members of a panel asked about the faces of one picture, one after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from runtime.arrays import Image
from runtime.media.images.preprocess import preprocess
from runtime.tasks.augmentation import Variant
from runtime.tasks.ensemble import Ensemble, Member
from runtime.tasks.faces import Boxes, Region, best_of_face, find_boxes
from runtime.tasks.soft_voting import Floats, Vote, settled, shares

Status = Literal["voted", "abstained", "not asked"]

_ROWS_AT_ONCE = (
    8  # crops in one run: all variants of one face, and activations of no more than that
)


@dataclass(frozen=True, slots=True)
class Ballot:
    """What one member did about one face."""

    model: str  # id
    weight: float
    status: Status
    probabilities: Floats | None = None  # (K,) in the panel's order, where it voted

    @property
    def votes(self) -> tuple[Vote, ...]:
        """Its vote, or none."""
        return () if self.probabilities is None else (Vote(self.weight, self.probabilities),)


@dataclass(frozen=True, slots=True)
class FaceRegion:
    """Where a face is taken to be."""

    region: Region  # what classifiers see
    box_xyxy: NDArray[np.float32] | None  # (4,) px; None: the whole picture is the face
    score: float | None = None  # of the detector, in [0, 1]


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture and what is known of it."""

    image: Image
    spots: tuple[FaceRegion, ...]
    seen: Mapping[str, Boxes]  # what detectors found in the picture as it is, by model id
    variants: tuple[Variant, ...]  # the first is the picture as it is


def cast(panel: Ensemble, scene: Scene, *, early_exit: bool) -> tuple[tuple[Ballot, ...], ...]:
    """Ask each member about the faces that it may still decide.

    Args:
        panel: whom to ask, in that order.
        scene: the picture and its faces.
        early_exit: not to ask about a face whose top label stands, whatever is still said.

    Returns:
        By face, a ballot of each member.
    """
    votes: list[tuple[Vote, ...]] = [() for _ in scene.spots]
    ballots: list[tuple[Ballot, ...]] = [() for _ in scene.spots]
    for rank, member in enumerate(panel.members):
        waiting = sum(each.weight for each in panel.members[rank:])
        rows = [
            row for row, given in enumerate(votes) if not (early_exit and settled(given, waiting))
        ]
        said = dict(zip(rows, _ask(member, scene, [scene.spots[i] for i in rows]), strict=True))
        for row in range(len(votes)):
            ballot = _ballot(member, said[row]) if row in said else _not_asked(member)
            ballots[row] += (ballot,)
            votes[row] += ballot.votes
    return tuple(ballots)


def _not_asked(member: Member) -> Ballot:
    return Ballot(member.model.spec.id, member.weight, "not asked")


def _ballot(member: Member, said: Floats | None) -> Ballot:
    status: Status = "abstained" if said is None else "voted"
    return Ballot(member.model.spec.id, member.weight, status, said)


def _ask(member: Member, scene: Scene, spots: Sequence[FaceRegion]) -> list[Floats | None]:
    if not spots:
        return []
    return _detected(member, scene, spots) if member.detects else _classified(member, scene, spots)


def _classified(member: Member, scene: Scene, spots: Sequence[FaceRegion]) -> list[Floats | None]:
    """The mean over the variants of each crop.

    The variants of a face are one batch, faces are not: a batch is no faster, and eight crops of
    EfficientNet-B3 at once took 90 MB more.
    """
    spec = member.model.spec
    # made before the runs: what is made between them, and kept, splits the heap's free tensors, and
    # 52 faces of one photo took 600 MB instead of 195
    answers = np.empty((len(spots), len(member.order)))
    for answer, spot in zip(answers, spots, strict=True):
        crop = np.ascontiguousarray(spot.region.of(scene.image))
        rows = [preprocess(variant.of(crop), spec.preprocess) for variant in scene.variants]
        outputs = member.model.run({spec.inputs[0].name: np.stack(rows)}, ["probabilities"])
        each = [shares(row, spec.id)[member.order] for row in outputs["probabilities"]]
        answer[:] = np.mean(each, axis=0)
    return list(answers)


def _detected(member: Member, scene: Scene, spots: Sequence[FaceRegion]) -> list[Floats | None]:
    """The mean over the variants in which it finds the face; None where it does in none.

    One variant at a time: six pictures of 640 x 640 px in a batch took 157 MB more, and 1.4 times
    as long.
    """
    totals, counts = np.zeros((len(spots), len(member.order))), np.zeros(len(spots), np.int64)
    before = scene.image.shape[:2]
    for rank, variant in enumerate(scene.variants):
        image = variant.of(scene.image)
        known = scene.seen.get(member.model.spec.id) if rank == 0 else None
        boxes = known or find_boxes(member.model, image)
        for at, spot in enumerate(spots):
            face = spot.box_xyxy
            if face is not None:
                face = variant.moved(face, before=before, after=image.shape[:2])
            row = best_of_face(boxes, face)
            if row is not None:
                given = shares(boxes.class_scores[row], member.model.spec.id)
                totals[at] += given[member.order]
                counts[at] += 1
    return [total / count if count else None for total, count in zip(totals, counts, strict=True)]
