"""Classes: which of the model's a folder means, and what two sets of answers were right in."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convert.commands.evaluate.cases import CasesError
from runtime.tasks.emotions import canonical_name

NOTHING = "(nothing)"  # what a detector says where it finds no box


@dataclass(frozen=True, slots=True)
class Answered:
    """One case, and what the two files said."""

    file: str
    label: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Accuracy:
    """All cases of labelled classes."""

    labels: tuple[str, ...]  # of rows and columns; columns may have NOTHING beside them
    answers: tuple[Answered, ...]

    @property
    def right(self) -> tuple[int, int]:
        """How many were right before and after."""
        return (
            sum(each.before == each.label for each in self.answers),
            sum(each.after == each.label for each in self.answers),
        )

    @property
    def changed(self) -> list[Answered]:
        """Cases that were answered otherwise, those that were right before it first."""
        changed = [each for each in self.answers if each.before != each.after]
        return sorted(changed, key=lambda each: (each.before != each.label, each.file))

    @property
    def chance(self) -> float:
        """How probable so uneven a change of right and wrong is by chance: McNemar's exact test."""
        lost = sum(each.before == each.label for each in self.changed)
        won = sum(each.after == each.label for each in self.changed)
        total, fewer = lost + won, min(lost, won)
        tail = sum(math.comb(total, k) for k in range(fewer + 1)) / 2**total
        return min(1.0, 2 * tail)

    def to_json(self) -> dict[str, Any]:
        """Accuracies, classes, both confusion matrices (rows: the label) and what changed."""
        count, (before, after) = len(self.answers), self.right
        columns = self.columns
        return {
            "cases": count,
            "accuracy_before": before / count,
            "accuracy_after": after / count,
            "net_change": after - before,
            "chance": self.chance,
            "agreement": 1 - len(self.changed) / count,
            "classes": self.by_class(),
            "confusion": {
                "rows": list(self.labels),
                "columns": columns,
                "before": confusion(self.labels, columns, self.answers, "before"),
                "after": confusion(self.labels, columns, self.answers, "after"),
            },
            "changed": [
                {"file": e.file, "label": e.label, "before": e.before, "after": e.after}
                for e in self.changed
            ],
        }

    @property
    def columns(self) -> list[str]:
        """Of the confusion matrices."""
        said = {each.before for each in self.answers} | {each.after for each in self.answers}
        return [*self.labels, *([NOTHING] if NOTHING in said else [])]

    def by_class(self) -> dict[str, dict[str, float]]:
        """Cases and accuracies of each class that has any."""
        cases = Counter(each.label for each in self.answers)
        before = Counter(each.label for each in self.answers if each.before == each.label)
        after = Counter(each.label for each in self.answers if each.after == each.label)
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
    rows: Sequence[str], columns: Sequence[str], answers: Iterable[Answered], side: str
) -> list[list[int]]:
    """Cases by label and answer."""
    counts = Counter((each.label, getattr(each, side)) for each in answers)
    return [[counts[row, column] for column in columns] for row in rows]


def matched(names: Iterable[str], known: Sequence[str]) -> Mapping[str, str]:
    """The model's label for each name of a folder or CSV.

    A name is a label's own, whatever its case, with spaces for - and _, or another word for the
    same emotion ("sadness" for "sad").

    Raises:
        CasesError: names that are no label of the model; all of them and the known ones are told.
    """
    plain = {_plain(label): label for label in known}
    by_sense = _by_sense(known)
    found = {
        name: plain.get(_plain(name)) or by_sense.get(canonical_name(_plain(name)))
        for name in names
    }
    unknown = sorted(name for name, label in found.items() if label is None)
    if unknown:
        leave_out = " ".join(f"--ignore {name!r}" for name in unknown)
        raise CasesError(
            f"{', '.join(map(repr, unknown))}: no class of this model; "
            f"known: {', '.join(known)}; to leave out: {leave_out}"
        )
    return {name: label for name, label in found.items() if label is not None}


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _by_sense(known: Sequence[str]) -> Mapping[str, str]:
    """Labels by what they mean; none that two of them share."""
    senses = Counter(canonical_name(_plain(label)) for label in known)
    return {sense: label for label in known if senses[sense := canonical_name(_plain(label))] == 1}
