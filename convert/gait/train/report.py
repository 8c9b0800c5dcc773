"""Accuracy of gait weights on walkers, viewpoints and phrases never trained on, and in noise."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.checkpoint import load_strictly, read_state_dict
from convert.gait.conditions import Condition
from convert.gait.train.condition_sampler import PARAPHRASES
from convert.gait.train.examples import visual_pose
from convert.samples.walkers import (
    LABELS,
    SIDE,
    TEST,
    UNSEEN,
    SyntheticGaitClip,
    View,
    generate_clip,
)

CLEAR_SEVERITY = 0.6
NOISE = 25.0  # standard deviation in levels of 255; three in ten of the training clips have 5 to 30
FIRST_NOISY = 5_000  # first walker of the noisy test set, which shares none with the others

Embeddings = dict[str, NDArray[np.float32]]  # (384,) by text
Probabilities = NDArray[np.float64]  # (n, K)


@dataclass(frozen=True, slots=True)
class LocatedClips:
    """Test clips as the joints that a student locates in them, before it knows a condition."""

    poses: NDArray[np.float32]  # (n, 16, 2, J)
    error_px: float  # mean over joints and both axes
    labels: NDArray[np.int64]  # (n,)
    severities: NDArray[np.float64]  # (n,)


def report(
    weights: Path, table: Sequence[Condition], embeddings: Embeddings, *, clips: int
) -> Iterator[str]:
    """Measure weights, and yield one line per finding.

    Args:
        weights: a state_dict of the default student.
        table: the conditions.
        embeddings: of all texts of the table and of PARAPHRASES.
        clips: walkers per test set.
    """
    student = _load_student(weights)
    plain = locate_clips(student, clips)
    yield describe_accuracy("new walkers", student, plain)
    unseen = locate_clips(student, clips, view=UNSEEN)
    yield describe_accuracy("unseen viewpoints", student, unseen)
    noisy = locate_clips(student, clips, first=FIRST_NOISY, frames_of=_noisy_frames)
    yield describe_accuracy(f"noise of {NOISE:.0f} levels", student, noisy)
    yield from _describe_conditions(student, plain, table, embeddings)
    yield from _describe_phrases(student, plain, table, embeddings)


def locate_clips(
    student: Any,
    count: int,
    *,
    first: int = 0,
    view: View | None = None,
    frames_of: Callable[[SyntheticGaitClip, int], NDArray[np.uint8]] | None = None,
) -> LocatedClips:
    """Locate the joints in `count` walkers of the test split, from number `first` on.

    Args:
        student: a GaitStudent.
        count: walkers.
        first: number of the first walker.
        view: range of viewpoints; None: those of training.
        frames_of: changes the frames of a clip; receives the clip and its number.
    """
    import torch

    poses, errors, labels, severities = [], [], [], []
    for index in range(first, first + count):
        clip = generate_clip(TEST, index, view=view)
        frames = clip.frames if frames_of is None else frames_of(clip, index)
        levels = torch.from_numpy(frames).permute(0, 3, 1, 2)[None].float()
        with torch.inference_mode():
            poses.append(student.locate(levels).numpy())
        errors.append(SIDE * np.abs(poses[-1][0] - visual_pose(clip)).mean())
        labels.append(LABELS.index(clip.label))
        severities.append(clip.severity)
    return LocatedClips(
        np.concatenate(poses), float(np.mean(errors)), np.array(labels), np.array(severities)
    )


def classify(
    student: Any, clips: LocatedClips, condition: NDArray[np.float32] | None
) -> Probabilities:
    """Return the probabilities, (n, K), of all clips for one condition, (384,), or none."""
    import torch

    embedding = np.zeros(384, np.float32) if condition is None else condition
    rows = torch.from_numpy(np.tile(embedding, (len(clips.labels), 1)))
    with torch.inference_mode():
        logits = student.classify(torch.from_numpy(clips.poses), rows)
        return torch.softmax(logits, 1).numpy().astype(np.float64)


def describe_accuracy(name: str, student: Any, clips: LocatedClips) -> str:
    """Return a line with the accuracy without conditions: overall, by severity and by class."""
    is_right = classify(student, clips, None).argmax(1) == clips.labels
    is_clear = clips.severities >= CLEAR_SEVERITY
    is_mild = (clips.severities > 0) & ~is_clear
    by_class = ", ".join(
        f"{label} {is_right[clips.labels == index].mean():.3f}"
        for index, label in enumerate(LABELS)
    )
    return (
        f"{name}: accuracy {is_right.mean():.3f} of {len(is_right)} "
        f"(clear {is_right[is_clear].mean():.3f}, mild {is_right[is_mild].mean():.3f}); "
        f"{by_class}; joints {clips.error_px:.1f} px off"
    )


def _describe_conditions(
    student: Any, clips: LocatedClips, table: Sequence[Condition], embeddings: Embeddings
) -> Iterator[str]:
    """Yield how the conditions of each gait change its probability."""
    before = classify(student, clips, None)
    is_right_with_own = np.zeros(len(before))
    for index, label in enumerate(LABELS):
        related = [c for c in table if c.gait == label]
        after = np.mean([classify(student, clips, embeddings[c.text]) for c in related], axis=0)
        shift = after[:, index] - before[:, index]
        of_class = clips.labels == index
        is_right_with_own[of_class] = (after.argmax(1) == clips.labels)[of_class]
        was_right = before.argmax(1) == clips.labels
        misled = (was_right & (after.argmax(1) == index))[~of_class].mean()
        yield (
            f"conditions of {label}: its probability {shift.mean():+.3f} "
            f"(its own clips {shift[of_class].mean():+.3f}, others {shift[~of_class].mean():+.3f}; "
            f"raised in {(shift > 0).mean():.3f}); misled {misled:.3f} of others"
        )
    yield f"with a condition of the right gait: accuracy {is_right_with_own.mean():.3f}"
    unrelated = [classify(student, clips, embeddings[c.text]) for c in table if c.gait is None]
    change = np.abs(np.array(unrelated) - before).max(axis=2)
    yield f"unrelated conditions: largest change of a probability, mean {change.mean():.3f}"


def _describe_phrases(
    student: Any, clips: LocatedClips, table: Sequence[Condition], embeddings: Embeddings
) -> Iterator[str]:
    """Yield how many phrases never trained on raise the probability of their own gait most."""
    synonyms = [(c.synonyms[-1], LABELS.index(c.gait)) for c in table if c.gait is not None]
    before = classify(student, clips, None).mean(0)
    for name, phrases in (("synonyms", synonyms), ("sentences", list(PARAPHRASES))):
        shifts = [
            classify(student, clips, embeddings[text]).mean(0) - before for text, _ in phrases
        ]
        raised = [int(shift.argmax()) for shift in shifts]
        errors = [
            f"{text!r} -> {LABELS[actual]}"
            for (text, expected), actual in zip(phrases, raised, strict=True)
            if actual != expected
        ]
        yield (
            f"{name} never trained on: {len(phrases) - len(errors)} of {len(phrases)} raise their "
            f"gait most; not: {'; '.join(errors) or 'none'}"
        )


def _load_student(weights: Path) -> Any:
    from convert.architectures.gait_student import GaitStudent

    student = GaitStudent(class_count=len(LABELS))
    load_strictly(student, read_state_dict(weights), path=weights)
    return student


def _noisy_frames(clip: SyntheticGaitClip, number: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(number).normal(0, NOISE, clip.frames.shape)
    return np.clip(clip.frames + noise, 0, 255).round().astype(np.uint8)
