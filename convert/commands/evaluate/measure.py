"""Every case through both files, by the model's task."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.commands.evaluate.cases import CasesError, Labelled, Masked
from convert.commands.evaluate.classes import NOTHING, Accuracy, Answered, matched
from convert.commands.evaluate.masks import Cut, Overlaps, iou, mae, read_mask
from convert.commands.evaluate.sides import Sides
from runtime.errors import InputError
from runtime.results import Alpha, Classification, Detections, Embedding, Result


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that was left out, and why."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of all cases."""

    result: Accuracy | Overlaps
    unreadable: tuple[Unreadable, ...]


def by_label(sides: Sides, cases: Sequence[Labelled]) -> Measured:
    """Top-1 of classifiers, the best box of detectors, the nearest other case of embeddings.

    Raises:
        CasesError: a label that the model does not have, or no file is readable.
    """
    names = list(dict.fromkeys(case.label for case in cases))
    labels = sides.after.spec.labels or tuple(names)
    label_of = matched(names, labels)
    unreadable: list[Unreadable] = []
    found = list(_answers(sides, cases, unreadable))
    if not found:
        raise CasesError(f"none of {len(cases)} files is readable: {unreadable[0].reason}")
    kept = [case for case, _ in found]
    truth = [label_of[case.label] for case in kept]
    before, after = (_said([pair[side] for _, pair in found], truth) for side in (0, 1))
    rows = zip(kept, truth, before, after, strict=True)
    answers = tuple(Answered(str(case.path), *said) for case, *said in rows)
    return Measured(Accuracy(tuple(labels), answers), tuple(unreadable))


def by_mask(sides: Sides, cases: Sequence[Masked]) -> Measured:
    """Overlap with masks.

    Raises:
        CasesError: a mask that is unreadable or of another size, or no image is readable.
    """
    unreadable: list[Unreadable] = []
    cuts = []
    for case, pair in _answers(sides, cases, unreadable):
        first, second = pair
        assert isinstance(first, Alpha)
        assert isinstance(second, Alpha)
        mask = read_mask(case.mask, *first.values.shape)
        ious = [iou(mask, each.values) for each in (first, second)]
        maes = [mae(mask, each.values) for each in (first, second)]
        cuts.append(Cut(str(case.path), *ious, *maes))
    if not cuts:
        raise CasesError(f"none of {len(cases)} images is readable: {unreadable[0].reason}")
    return Measured(Overlaps(tuple(cuts)), tuple(unreadable))


def _answers(
    sides: Sides, cases: Sequence[Any], unreadable: list[Unreadable]
) -> Iterator[tuple[Any, tuple[Result, Result]]]:
    for case in cases:
        path: Path = case.path
        try:
            yield case, sides.answers(path.read_bytes())
        except InputError as error:
            unreadable.append(Unreadable(str(path), str(error)))


def _said(results: Sequence[Result], truth: Sequence[str]) -> list[str]:
    embeddings = [each.values for each in results if isinstance(each, Embedding)]
    if embeddings:
        return nearest(np.stack(embeddings), truth)
    return [_label(each) for each in results]


def _label(result: Result) -> str:
    if isinstance(result, Classification):
        return result.label
    assert isinstance(result, Detections)  # masks are measured elsewhere
    if not len(result.scores):
        return NOTHING
    return result.labels[int(result.classes[int(result.scores.argmax())])]


def nearest(embeddings: NDArray[np.float32], labels: Sequence[str]) -> list[str]:
    """The label of the case most similar to each, itself left out.

    Args:
        embeddings: (N, D), L2 norm 1.
        labels: of the N cases.

    Raises:
        CasesError: fewer than two cases.
    """
    if len(labels) < 2:
        raise CasesError("one case has no other one to be similar to")
    similarity = embeddings @ embeddings.T
    np.fill_diagonal(similarity, -np.inf)
    return [labels[index] for index in similarity.argmax(axis=1)]
