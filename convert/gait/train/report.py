"""What the weights are worth: on walkers, viewpoints and phrases never trained on, and in noise."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.checkpoint import load_strictly, read_state_dict
from convert.gait.conditions import Condition
from convert.gait.train.evidence import PARAPHRASES
from convert.gait.train.examples import by_sight
from convert.samples.walkers import (
    LABELS,
    SIDE,
    TEST,
    UNSEEN,
    SyntheticGaitClip,
    View,
    generate_clip,
)

CLEAR = 0.6  # severity from which a class is plain
NOISE = 25.0  # standard deviation in levels of 255; three in ten of the training have 5 to 30
MOST_NOISY = 5_000  # other walkers than those without noise

Probabilities = NDArray[np.float64]  # (n, K)


@dataclass(frozen=True, slots=True)
class Watched:
    """Clips as the student sees them before it is told anything about the patient."""

    poses: NDArray[np.float32]  # (n, 16, 2, J)
    error_px: float  # mean over joints and both directions
    labels: NDArray[np.int64]  # (n,)
    severities: NDArray[np.float64]  # (n,)


def report(
    weights: Path,
    table: Sequence[Condition],
    embeddings: dict[str, NDArray[np.float32]],
    *,
    clips: int,
) -> Iterator[str]:
    """Lines of findings.

    Args:
        weights: a state_dict of the default student.
        table: the known conditions.
        embeddings: (384,) by text, of all texts.
        clips: walkers of each kind.
    """
    student = _student(weights)
    plain = watch(student, clips)
    yield from accuracy("held-out walkers", student, plain)
    yield from accuracy("unseen viewpoints", student, watch(student, clips, view=UNSEEN))
    noisy = watch(student, clips, first=MOST_NOISY, spoil=_noise)
    yield from accuracy(f"noise of {NOISE:.0f} levels", student, noisy)
    yield from _told(student, plain, table, embeddings)
    yield from _phrases(student, plain, table, embeddings)


def watch(
    student: Any,
    count: int,
    *,
    first: int = 0,
    view: View | None = None,
    spoil: Callable[[SyntheticGaitClip, int], NDArray[np.uint8]] | None = None,
) -> Watched:
    """Show held-out walkers to a student."""
    import torch

    poses, errors, labels, severities = [], [], [], []
    for index in range(first, first + count):
        walk = generate_clip(TEST, index, view=view)
        frames = walk.frames if spoil is None else spoil(walk, index)
        levels = torch.from_numpy(frames).permute(0, 3, 1, 2)[None].float()
        with torch.inference_mode():
            poses.append(student.locate(levels).numpy())
        errors.append(SIDE * np.abs(poses[-1][0] - by_sight(walk)).mean())
        labels.append(LABELS.index(walk.label))
        severities.append(walk.severity)
    return Watched(
        np.concatenate(poses), float(np.mean(errors)), np.array(labels), np.array(severities)
    )


def judge(student: Any, watched: Watched, condition: NDArray[np.float32] | None) -> Probabilities:
    """(n, K) probabilities of all clips, of patients with one condition, (384,), or none known."""
    import torch

    told = np.zeros(384, np.float32) if condition is None else condition
    rows = torch.from_numpy(np.tile(told, (len(watched.labels), 1)))
    with torch.inference_mode():
        logits = student.classify(torch.from_numpy(watched.poses), rows)
        return torch.softmax(logits, 1).numpy().astype(np.float64)


def accuracy(name: str, student: Any, watched: Watched) -> Iterator[str]:
    """Share that is right where nothing is known about the patient."""
    right = judge(student, watched, None).argmax(1) == watched.labels
    clear = watched.severities >= CLEAR
    mild = (watched.severities > 0) & ~clear
    each = ", ".join(
        f"{label} {right[watched.labels == index].mean():.3f}" for index, label in enumerate(LABELS)
    )
    yield (
        f"{name}: accuracy {right.mean():.3f} of {len(right)} "
        f"(clear {right[clear].mean():.3f}, mild {right[mild].mean():.3f}); {each}; "
        f"joints {watched.error_px:.1f} px off"
    )


def _told(
    student: Any,
    watched: Watched,
    table: Sequence[Condition],
    embeddings: dict[str, NDArray[np.float32]],
) -> Iterator[str]:
    """What each group of conditions does to the probability of its gait."""
    before = judge(student, watched, None)
    own = np.zeros(len(before))
    for index, label in enumerate(LABELS):
        group = [c for c in table if c.gait == label]
        after = np.mean([judge(student, watched, embeddings[c.text]) for c in group], axis=0)
        shift = after[:, index] - before[:, index]
        of_class = watched.labels == index
        own[of_class] = (after.argmax(1) == watched.labels)[of_class]
        misled = (before.argmax(1) == watched.labels) & ~of_class & (after.argmax(1) == index)
        yield (
            f"conditions of {label}: its probability {shift.mean():+.3f} "
            f"(its own clips {shift[of_class].mean():+.3f}, others {shift[~of_class].mean():+.3f}; "
            f"raised in {(shift > 0).mean():.3f}); misled {misled[~of_class].mean():.3f} of others"
        )
    yield f"with a condition of the right gait: accuracy {own.mean():.3f}"
    unrelated = [judge(student, watched, embeddings[c.text]) for c in table if c.gait is None]
    change = np.abs(np.array(unrelated) - before).max(axis=2)
    yield f"unrelated conditions: largest change of a probability, mean {change.mean():.3f}"


def _phrases(
    student: Any,
    watched: Watched,
    table: Sequence[Condition],
    embeddings: dict[str, NDArray[np.float32]],
) -> Iterator[str]:
    """Whether words never trained on raise the probability of the gait that they speak for."""
    synonyms = [(c.synonyms[-1], LABELS.index(c.gait)) for c in table if c.gait is not None]
    before = judge(student, watched, None).mean(0)
    for name, phrases in (("synonyms", synonyms), ("sentences", list(PARAPHRASES))):
        shifts = [judge(student, watched, embeddings[text]).mean(0) - before for text, _ in phrases]
        most = [int(shift.argmax()) for shift in shifts]
        wrong = [
            f"{text!r} -> {LABELS[found]}"
            for (text, wanted), found in zip(phrases, most, strict=True)
            if found != wanted
        ]
        yield (
            f"{name} never trained on: {len(phrases) - len(wrong)} of {len(phrases)} raise their "
            f"gait most; not: {'; '.join(wrong) or 'none'}"
        )


def _student(weights: Path) -> Any:
    from convert.architectures.gait_student import GaitStudent

    student = GaitStudent(class_count=len(LABELS))
    load_strictly(student, read_state_dict(weights), path=weights)
    return student


def _noise(walk: SyntheticGaitClip, index: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(index).normal(0, NOISE, walk.frames.shape)
    return np.clip(walk.frames + noise, 0, 255).round().astype(np.uint8)
