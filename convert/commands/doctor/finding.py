"""A finding of the doctor."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "missing"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: `missing` stops a conversion, `note` is worth knowing before it."""

    level: Level
    subject: str
    text: str  # the state of the subject and, unless ok, what to do

    def __str__(self) -> str:
        return f"{self.level:8} {self.subject}: {' '.join(self.text.split())}"


def count_missing(findings: Iterable[Finding]) -> int:
    """Return how many findings stop a conversion."""
    return sum(finding.level == "missing" for finding in findings)
