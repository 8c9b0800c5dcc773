"""Accuracy of two models on labelled classes, and the model's label for each name of a class."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convert.commands.evaluate.cases import CasesError
from runtime.tasks.emotions import canonical_name

NOTHING = "(nothing)"  # the prediction of a detector that finds no box


@dataclass(frozen=True, slots=True)
class Prediction:
    """One case and the labels that the two models predict for it."""

    file: str
    label: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Accuracy:
    """The predictions for all cases."""

    labels: tuple[str, ...]  # the model's labels: rows of the confusion matrices
    predictions: tuple[Prediction, ...]

    @property
    def correct(self) -> tuple[int, int]:
        """Return how many predictions are correct before and after."""
        return (
            sum(case.before == case.label for case in self.predictions),
            sum(case.after == case.label for case in self.predictions),
        )

    @property
    def changed(self) -> list[Prediction]:
        """Return the cases whose prediction changed, those that were correct before it first."""
        changed = [case for case in self.predictions if case.before != case.after]
        return sorted(changed, key=lambda case: (case.before != case.label, case.file))

    @property
    def p_value(self) -> float:
        """Return the p-value of McNemar's exact test for equal accuracy before and after."""
        losses = sum(case.before == case.label for case in self.changed)
        gains = sum(case.after == case.label for case in self.changed)
        total, fewer = losses + gains, min(losses, gains)
        tail = sum(math.comb(total, k) for k in range(fewer + 1)) / 2**total
        return min(1.0, 2 * tail)

    def to_json(self) -> dict[str, Any]:
        """Return accuracies, classes, both confusion matrices (rows: labels) and the changes."""
        count, (before, after) = len(self.predictions), self.correct
        columns = self.columns
        return {
            "cases": count,
            "accuracy_before": before / count,
            "accuracy_after": after / count,
            "net_change": after - before,
            "chance": self.p_value,
            "agreement": 1 - len(self.changed) / count,
            "classes": self.by_class(),
            "confusion": {
                "rows": list(self.labels),
                "columns": columns,
                "before": confusion(self.labels, columns, self.predictions, "before"),
                "after": confusion(self.labels, columns, self.predictions, "after"),
            },
            "changed": [
                {"file": e.file, "label": e.label, "before": e.before, "after": e.after}
                for e in self.changed
            ],
        }

    @property
    def columns(self) -> list[str]:
        """Return the columns of the confusion matrices: the labels, and NOTHING if it occurs."""
        answers = {case.before for case in self.predictions}
        answers |= {case.after for case in self.predictions}
        return [*self.labels, *([NOTHING] if NOTHING in answers else [])]

    def by_class(self) -> dict[str, dict[str, float]]:
        """Return the number of cases and the accuracies of each class that has any."""
        cases = Counter(case.label for case in self.predictions)
        before = Counter(case.label for case in self.predictions if case.before == case.label)
        after = Counter(case.label for case in self.predictions if case.after == case.label)
        return {
            label: {
                "cases": cases[label],
                "accuracy_before": before[label] / cases[label],
                "accuracy_after": after[label] / cases[label],
            }
            for label in self.labels
            if cases[label]
        }


def confusion(
    rows: Sequence[str], columns: Sequence[str], predictions: Iterable[Prediction], side: str
) -> list[list[int]]:
    """Count cases by label (rows) and prediction (columns); `side` is "before" or "after"."""
    counts = Counter((case.label, getattr(case, side)) for case in predictions)
    return [[counts[row, column] for column in columns] for row in rows]


def match_labels(names: Iterable[str], labels: Sequence[str]) -> Mapping[str, str]:
    """Find the model's label for each name of a folder or CSV.

    A name matches a label in any case, with spaces for - and _, and as another word for the same
    emotion ("sadness" for "sad").

    Raises:
        CasesError: names that match no label; it lists all of them, and the labels.
    """
    by_name = {_normalize(label): label for label in labels}
    by_emotion = _by_emotion(labels)
    matches = {
        name: by_name.get(_normalize(name)) or by_emotion.get(canonical_name(_normalize(name)))
        for name in names
    }
    unknown = sorted(name for name, label in matches.items() if label is None)
    if unknown:
        leave_out = " ".join(f"--ignore {name!r}" for name in unknown)
        raise CasesError(
            f"{', '.join(map(repr, unknown))}: no class of this model; "
            f"known: {', '.join(labels)}; to leave out: {leave_out}"
        )
    return {name: label for name, label in matches.items() if label is not None}


def _normalize(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _by_emotion(labels: Sequence[str]) -> Mapping[str, str]:
    """Return labels by the emotion that they name, without emotions that two labels name."""
    counts = Counter(canonical_name(_normalize(label)) for label in labels)
    return {
        emotion: label
        for label in labels
        if counts[emotion := canonical_name(_normalize(label))] == 1
    }
