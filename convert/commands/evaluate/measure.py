"""Run every case through both models and compare the results with the labels or masks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.commands.evaluate.accuracy import NOTHING, Accuracy, Prediction, match_labels
from convert.commands.evaluate.cases import CasesError, LabelledCase, MaskedCase
from convert.commands.evaluate.model_pair import ModelPair
from convert.commands.evaluate.overlap import MaskScores, Overlap, iou, mae, read_mask
from runtime.errors import InputError
from runtime.results import Alpha, Classification, Detections, Embedding, Result


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that was left out, and why."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The outcome of all cases."""

    result: Accuracy | Overlap
    unreadable: tuple[Unreadable, ...]


def evaluate_labels(models: ModelPair, cases: Sequence[LabelledCase]) -> Evaluation:
    """Measure accuracy: of classifiers by the likeliest class, of detectors by the best box.

    An embedding model predicts the label of the nearest other case.

    Raises:
        CasesError: a label that the model does not have, or no file is readable.
    """
    names = list(dict.fromkeys(case.label for case in cases))
    labels = models.after.spec.labels or tuple(names)
    label_of = match_labels(names, labels)
    unreadable: list[Unreadable] = []
    answers = list(_predict(models, cases, unreadable))
    if not answers:
        raise CasesError(f"none of {len(cases)} files is readable: {unreadable[0].reason}")
    truth = [label_of[case.label] for case, _ in answers]
    before, after = (
        _predicted_labels([pair[side] for _, pair in answers], truth) for side in (0, 1)
    )
    predictions = tuple(
        Prediction(str(case.path), *row)
        for (case, _), *row in zip(answers, truth, before, after, strict=True)
    )
    return Evaluation(Accuracy(tuple(labels), predictions), tuple(unreadable))


def evaluate_masks(models: ModelPair, cases: Sequence[MaskedCase]) -> Evaluation:
    """Measure the overlap of predicted masks with the given ones.

    Raises:
        CasesError: a mask that is unreadable or of another size, or no image is readable.
    """
    unreadable: list[Unreadable] = []
    scores = []
    for case, (before, after) in _predict(models, cases, unreadable):
        assert isinstance(before, Alpha)
        assert isinstance(after, Alpha)
        mask = read_mask(case.mask, *before.values.shape)
        alphas = (before.values, after.values)
        ious = [iou(mask, alpha) for alpha in alphas]
        maes = [mae(mask, alpha) for alpha in alphas]
        scores.append(MaskScores(str(case.path), *ious, *maes))
    if not scores:
        raise CasesError(f"none of {len(cases)} images is readable: {unreadable[0].reason}")
    return Evaluation(Overlap(tuple(scores)), tuple(unreadable))


def nearest(embeddings: NDArray[np.float32], labels: Sequence[str]) -> list[str]:
    """Return for each case the label of the other case with the most similar embedding.

    Args:
        embeddings: (N, D), L2 norm 1.
        labels: of the N cases.

    Raises:
        CasesError: fewer than two cases.
    """
    if len(labels) < 2:
        raise CasesError(f"{len(labels)} case; an embedding model is evaluated on at least 2 cases")
    similarity = embeddings @ embeddings.T
    np.fill_diagonal(similarity, -np.inf)
    return [labels[index] for index in similarity.argmax(axis=1)]


def _predict(
    models: ModelPair, cases: Sequence[Any], unreadable: list[Unreadable]
) -> Iterator[tuple[Any, tuple[Result, Result]]]:
    """Yield each case with both results; append files that cannot be decoded to `unreadable`."""
    for case in cases:
        path: Path = case.path
        try:
            yield case, models.predict(path.read_bytes())
        except InputError as error:
            unreadable.append(Unreadable(str(path), str(error)))


def _predicted_labels(results: Sequence[Result], truth: Sequence[str]) -> list[str]:
    embeddings = [result.values for result in results if isinstance(result, Embedding)]
    if embeddings:
        return nearest(np.stack(embeddings), truth)
    return [_predicted_label(result) for result in results]


def _predicted_label(result: Result) -> str:
    if isinstance(result, Classification):
        return result.label
    assert isinstance(result, Detections)  # `evaluate_masks` takes care of masks
    if not len(result.scores):
        return NOTHING
    return result.labels[int(result.classes[int(result.scores.argmax())])]
