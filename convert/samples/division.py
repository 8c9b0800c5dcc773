"""The division of the user's media: some guide the search for an INT8 graph, others judge it.

Where the bounds of a task can decide, evidence is what is scarce: the judges are set aside first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from convert.samples.origins import Origins
from runtime.artifact.manifest import Task

MIN_JUDGES = 50  # inputs of different origin, with which the bounds of a task decide
MIN_GUIDES = 8
GUIDE_SHARE = 4  # one origin in so many guides, unless MIN_JUDGES need it
MAX_FILES_PER_SET = 64  # of calibration and of validation; more only make the search slow
# tasks with bounds of their own: see `convert.gate.rule`
CLASSIFIERS: tuple[Task, ...] = (
    "image-classification",
    "audio-classification",
    "video-classification",
)
JUDGED_TASKS: tuple[Task, ...] = (*CLASSIFIERS, "object-detection")


@dataclass(frozen=True, slots=True)
class Division:
    """Indices of samples by what they are for. No origin both guides and judges."""

    calibration: tuple[int, ...]
    validation: tuple[int, ...]  # equal to `calibration` where the guides are few
    test: tuple[int, ...]  # one of each origin

    def describe(self, noun: str) -> str:
        """Return how many media are for what, in a sentence."""
        judges = f"{len(self.test)} {noun} of different origin judge INT8"
        if self.calibration == self.validation:
            return (
                f"{judges}; its ranges are measured and its graphs compared on "
                f"{len(self.calibration)} others"
            )
        return (
            f"{judges}; its ranges are measured on {len(self.calibration)} others, its graphs "
            f"compared on {len(self.validation)} more"
        )


def judges_first(origins: Origins, largest_test: int) -> Division | None:
    """Divide samples by origin, the judges first: three in four, at least MIN_JUDGES.

    Origins with look-alikes guide before others, because a look-alike is no evidence. Fewer than
    MAX_FILES_PER_SET guides calibrate and are compared on together: ranges need less than a verdict
    does, and the judges refuse what fits the guides too closely.

    Args:
        origins: indices of the samples of each origin, in order.
        largest_test: origins that may judge at most.

    Returns:
        None if there are fewer than MIN_JUDGES and MIN_GUIDES origins.
    """
    count = len(origins)
    if count < MIN_JUDGES + MIN_GUIDES:
        return None
    judges = min(largest_test, max(MIN_JUDGES, count - count // GUIDE_SHARE))
    ordered = sorted(origins, key=lambda rows: -len(rows))  # stable
    first = [rows[0] for rows in ordered]
    guides = first[: min(count - judges, 2 * MAX_FILES_PER_SET)]
    test = tuple(sorted(first[count - judges :]))
    if len(guides) < MAX_FILES_PER_SET:
        calibration = tuple(sorted(guides))
        return Division(calibration, calibration, test)
    return Division(tuple(sorted(guides[::2])), tuple(sorted(guides[1::2])), test)


def in_turn(count: int, largest: int) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
    """Divide samples in turn; those beyond `largest` for each set are for the test."""
    first = range(min(count, 3 * largest))
    calibration, validation, test = first[::3], first[1::3], first[2::3]
    return calibration, validation, (*test, *range(len(first), count))
