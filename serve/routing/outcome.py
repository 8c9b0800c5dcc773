"""Reports of how many answers of a version were right."""

from dataclasses import dataclass

MOST = 1_000_000_000  # answers of one report


@dataclass(frozen=True, slots=True)
class Outcome:
    """Answers of one version that were compared with the truth."""

    model: str
    version: int
    correct: int = 0
    wrong: int = 0
