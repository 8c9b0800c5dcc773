"""The table that a check prints: one row per question."""

from collections.abc import Sequence
from dataclasses import dataclass

from deploy.client import Reply
from runtime.cli.table import align

HEADINGS = ("route", "status", "ms", "weights", "difference", "")


@dataclass(frozen=True, slots=True)
class Row:
    """One question, its answer, and what is wrong with it."""

    route: str
    reply: Reply
    problem: str = ""  # empty: the answer is as expected
    difference: float | None = None  # from the reference, largest absolute

    def cells(self) -> tuple[str, ...]:
        """Return route, status, milliseconds, weights, difference and verdict as text."""
        difference = "" if self.difference is None else f"{self.difference:.1e}"
        weights = self.reply.headers.get("x-model-weights", "")
        milliseconds = f"{self.reply.milliseconds:.1f}"
        verdict = self.problem or "ok"
        return self.route, str(self.reply.status), milliseconds, weights, difference, verdict


def report(rows: Sequence[Row]) -> int:
    """Print the table and the number of rows without a problem; return the exit code."""
    print("\n".join(align([HEADINGS, *(row.cells() for row in rows)])))
    problems = sum(1 for row in rows if row.problem)
    print(f"{len(rows) - problems} of {len(rows)} as verified at conversion")
    return 1 if problems else 0
